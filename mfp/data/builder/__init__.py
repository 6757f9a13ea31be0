"""The TFDS dataset `movie_feedback`: films with their outcomes, split by release date."""
