"""Those who are measured, each in a process of its own, told over a pipe when to run.

    python contestants.py KIND WORKLOAD.pickle          reads requests, one JSON line each

Who does not run waits for its pipe and takes no time from the others. All do the same: AdamW with
decay of matrices only, clipping by the global norm, a moving average of the parameters, dropout;
float32; batches from the host; both cores.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# What each is, and of which workloads a kind is another way to run the same.
KINDS = {
    "mfp": "mfp, as `mfp train` runs it",
    "torch": "PyTorch, eager",
    "torch-compile": "PyTorch, torch.compile",
    "torch-padded": "PyTorch, eager, LSTM over the padding too",
    "torch-kept": "PyTorch, eager, with our settings of malloc",
    "keras": "Keras 3 on JAX",
}
Batch = Mapping[str, np.ndarray]


class Mfp:
    """Our modules and our train step, compiled as the training loop does."""

    def __init__(self, workload: Any):
        from functools import partial

        import jax

        from mfp.training import assemble, losses, optim
        from mfp.training.step import init_state, mean_losses, train_step

        config, apply = workload.config, assemble.apply_function(workload.network)
        tx = optim.optimizer(config.optimizer, total_steps=1)
        step = partial(
            train_step,
            apply=apply,
            tx=tx,
            objective=workload.objective,
            ema=config.optimizer.ema,
        )
        self._jax, self._step = jax, jax.jit(step, donate_argnums=0)
        self.state = jax.device_put(init_state(workload.params, tx))
        self._key = jax.random.key(0)
        self._predict = jax.jit(lambda params, batch: apply(params, batch, None)["outputs"])
        self._params = jax.device_put(workload.params)
        self._loss = lambda outputs, batch: mean_losses(
            losses.target_losses(outputs, batch), workload.objective
        )["loss"]

    def loss(self, batch: Batch) -> float:
        return float(self._loss(self._predict(self._params, dict(batch)), batch))

    def step(self, batch: Batch) -> None:
        self.state, found = self._step(self.state, dict(batch), self._key)
        self._jax.block_until_ready(found)

    def predict(self, inputs: Batch) -> Mapping[str, np.ndarray]:
        return self._jax.device_get(self._predict(self._params, dict(inputs)))


class Torch:
    def __init__(self, workload: Any, compiled: bool = False, packed: bool = True):
        import torch
        import torch_network
        from torch.nn import functional as F

        torch.set_num_threads(os.cpu_count() or 1)
        config, weights = workload.config.optimizer, workload.objective.loss_weights
        self._torch = torch
        # Without padding there is nothing to skip, and packing would only cost.
        packed = packed and workload.name == "fused"
        self._net = torch_network.Net(workload.shape, workload.config.model, packed)
        torch_network.load(self._net, workload.flat_params)
        self._net.images.to(memory_format=torch.channels_last)  # faster here than the default
        self._parameters = list(self._net.parameters())
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self._parameters if p.ndim >= 2],
                    "weight_decay": config.weight_decay,
                },
                {"params": [p for p in self._parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            fused=True,
        )
        self._averages = [p.detach().clone() for p in self._parameters]
        self._clip, self._ema = config.clip_norm, config.ema

        def loss(batch: Any) -> Any:
            total = 0.0
            for name, y in self._net(batch).items():
                target, weight = batch[f"targets/{name}"], batch[f"weights/{name}"]
                if name == "hit":
                    each = F.binary_cross_entropy_with_logits(y, target, reduction="none")
                else:
                    each = (y - target) ** 2
                total = total + weights[name] * (weight * each).sum() / weight.sum().clamp(min=1e-9)
            return total

        self._loss = torch.compile(loss) if compiled else loss
        self._forward = torch.compile(self._net) if compiled else self._net

    def _tensors(self, batch: Batch) -> dict[str, Any]:
        return {name: self._torch.from_numpy(array) for name, array in batch.items()}

    def loss(self, batch: Batch) -> float:
        self._net.eval()
        with self._torch.inference_mode():
            return float(self._loss(self._tensors(batch)))

    def step(self, batch: Batch) -> None:
        torch = self._torch
        self._net.train()
        loss = self._loss(self._tensors(batch))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._clip, foreach=True)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._parameters, 1 - self._ema)
        loss.item()

    def predict(self, inputs: Batch) -> Mapping[str, np.ndarray]:
        self._net.eval()
        with self._torch.inference_mode():
            return {n: y.numpy() for n, y in self._forward(self._tensors(inputs)).items()}


class Keras:
    """On JAX: measured faster here than Keras on PyTorch, which runs layer by layer."""

    def __init__(self, workload: Any):
        os.environ["KERAS_BACKEND"] = "jax"
        import keras
        import keras_network

        config = workload.config.optimizer
        self._net = net = keras_network.Net(workload.shape, workload.config.model)
        net(self._inputs(workload.batches[0]))  # builds it
        keras_network.load(net, workload.flat_params)
        optimizer = keras.optimizers.AdamW(
            config.learning_rate,
            weight_decay=config.weight_decay,
            beta_1=config.beta1,
            beta_2=config.beta2,
            epsilon=1e-8,
            global_clipnorm=config.clip_norm,
            use_ema=True,
            ema_momentum=config.ema,
        )
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in net.trainable_variables if len(v.shape) < 2]
        )
        mean = {"reduction": "mean_with_sample_weight"}
        kinds = {"hit": keras.losses.BinaryCrossentropy(from_logits=True, **mean)}
        self._targets = workload.shape.targets
        net.compile(
            optimizer,
            loss={t: kinds.get(t, keras.losses.MeanSquaredError(**mean)) for t in self._targets},
            loss_weights=dict(workload.objective.loss_weights),
        )

    def _inputs(self, batch: Batch) -> dict[str, np.ndarray]:
        return {n: x for n, x in batch.items() if not n.startswith(("targets/", "weights/"))}

    def _known(self, batch: Batch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        return tuple(
            {t: batch[f"{kind}/{t}"][:, None] for t in self._targets}
            for kind in ("targets", "weights")
        )

    def loss(self, batch: Batch) -> float:
        known, weights = self._known(batch)
        found = self._net.test_on_batch(self._inputs(batch), known, weights, return_dict=True)
        return float(found["loss"])

    def step(self, batch: Batch) -> None:
        self._net.train_on_batch(self._inputs(batch), *self._known(batch))

    def predict(self, inputs: Batch) -> Mapping[str, np.ndarray]:
        return {n: y[:, 0] for n, y in self._net.predict_on_batch(dict(inputs)).items()}


def open_contestant(kind: str, workload: Any) -> Any:
    if kind in ("mfp", "torch-kept"):
        from mfp import allocator

        allocator.keep_freed_memory()  # as `mfp train` does
    if kind == "mfp":
        return Mfp(workload)
    if kind == "keras":
        return Keras(workload)
    return Torch(workload, compiled=kind == "torch-compile", packed=kind != "torch-padded")


def serve(kind: str, path: Path) -> None:
    """Answer requests: {"do": loss | step | predict, ...} -> {"value"} or {"seconds": [...]}."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    workload = pickle.loads(path.read_bytes())
    contestant = open_contestant(kind, workload)
    inputs: dict[int, Batch] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "loss":
            answer: dict[str, Any] = {"value": contestant.loss(workload.batches[0])}
        elif request["do"] == "step":
            answer = {"seconds": [timed(contestant.step, b) for b in workload.batches]}
        else:
            size = request["size"]
            batch = inputs.setdefault(size, workload.inputs(size))
            answer = {"seconds": [timed(contestant.predict, batch) for _ in range(request["n"])]}
        print(json.dumps(answer), file=answers, flush=True)


def timed(call: Callable[[Batch], Any], batch: Batch) -> float:
    started = time.perf_counter()
    call(batch)
    return time.perf_counter() - started


class Contestant:
    """A contestant in its process; a context manager that ends it."""

    def __init__(self, kind: str, path: Path):
        self.kind = kind
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, __file__, kind, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "BENCH_VERBOSE" in os.environ else subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, do: str, **values: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.kind} ended; BENCH_VERBOSE=1 shows what it says")
        return next(iter(json.loads(answer).values()))

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
