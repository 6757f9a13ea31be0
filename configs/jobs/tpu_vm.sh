#!/usr/bin/env bash
# Train on the hosts of a Cloud TPU VM slice. Run it from the repository root, on a machine that
# stays up and has gcloud:
#
#   PROJECT=my-project ZONE=us-west4-a SHARE=10.0.0.2:/films configs/jobs/tpu_vm.sh
#
# It creates the slice, installs the committed state of this repository on every host, trains, and
# deletes the slice when training is done. A slice that was taken away (SPOT=1) is created again, and
# training resumes. Ctrl-C and SIGTERM let the hosts save their state and leave the slice in place;
# the same command resumes.
#
# Exit codes: 0 done; 1 training failed ATTEMPTS times, the slice is left to be looked at; 2 a
# variable is missing; 130 and 143 stopped by SIGINT or SIGTERM.

PROJECT=${PROJECT:-}
ZONE=${ZONE:-}
SHARE=${SHARE:-}                        # an NFS share (Filestore) where all hosts keep runs/
NAME=${NAME:-mfp}                       # of the slice and of the run folder
TYPE=${TYPE:-v5litepod-16}              # accelerator type: 16 chips, 4 hosts
VERSION=${VERSION:-v2-alpha-tpuv5-lite} # of the TPU software, it belongs to the type
SPOT=${SPOT:-1}                         # 0: not spot
CONFIG=${CONFIG:-configs/base.toml}
MODE=${MODE:-sharded}        # or pmap
SETTINGS=${SETTINGS:-}       # more for the command line: --set train.epochs=20 ...
PYTHON=${PYTHON:-python3.11} # installed on the hosts
ATTEMPTS=${ATTEMPTS:-3}      # failures on a slice that is there before giving up
PAUSE=${PAUSE:-60}           # seconds between attempts

set -euo pipefail

for variable in PROJECT ZONE SHARE; do
  [[ -n ${!variable} ]] || { echo "set $variable, see the head of $0" >&2 && exit 2; }
done

tpu() { # verb, arguments
  gcloud compute tpus tpu-vm "$1" "$NAME" --project="$PROJECT" --zone="$ZONE" "${@:2}"
}

on_all_hosts() { # command
  tpu ssh --worker=all --command="$1"
}

state() {
  tpu describe --format='value(state)' 2> /dev/null || echo ABSENT
}

create() {
  local options=(--accelerator-type="$TYPE" --version="$VERSION")
  [[ $SPOT == 0 ]] || options+=(--spot)
  tpu create "${options[@]}"
}

install() {
  local archive
  archive=$(mktemp)
  git archive --format=tar.gz --output="$archive" HEAD
  gcloud compute tpus tpu-vm scp "$archive" "$NAME:mfp.tar.gz" --project="$PROJECT" --zone="$ZONE" \
    --worker=all
  rm -f "$archive"
  on_all_hosts "set -e
    mkdir -p mfp/runs && tar -xzf mfp.tar.gz -C mfp && cd mfp
    sudo apt-get -qq install -y nfs-common $PYTHON-venv > /dev/null
    mountpoint -q runs || sudo mount -t nfs '$SHARE' runs
    [ -d .venv ] || $PYTHON -m venv .venv
    .venv/bin/pip install -q -c constraints.txt '.[tpu,sample]'"
}

# A service outlives a lost connection, and systemd sends it the signals. One that such an attempt
# left behind saves and stops first, so that never two train in one run folder.
train() {
  on_all_hosts "sudo systemctl stop mfp 2> /dev/null
    sudo systemd-run --unit=mfp --collect --wait --working-directory=\$HOME/mfp \
      --property=TimeoutStopSec=300 --property=StandardOutput=append:\$HOME/mfp.log \
      --property=StandardError=append:\$HOME/mfp.log \
      \$HOME/mfp/.venv/bin/mfp train --quiet --distributed --config $CONFIG \
      --set parallel.mode=$MODE $SETTINGS --run runs/$NAME"
}

stop() { # signal number
  trap '' INT TERM
  echo "stopping the hosts, they save their state" >&2
  on_all_hosts "sudo systemctl stop mfp" || true
  wait || true
  exit $((128 + $1))
}

failures=0
while true; do
  case $(state) in
    READY) ;;
    ABSENT) create || { sleep "$PAUSE" && continue; } ;; # no capacity: ask again
    CREATING | STARTING | RESTARTING) sleep "$PAUSE" && continue ;;
    *) # PREEMPTED, STOPPED, ...
      tpu delete --quiet || true
      sleep "$PAUSE"
      continue
      ;;
  esac
  trap 'stop 2' INT
  trap 'stop 15' TERM
  # In the background, since bash hears a signal only while it waits.
  (
    install
    train
  ) < /dev/null &
  if wait $!; then
    trap - INT TERM
    tpu delete --quiet
    exit 0
  fi
  trap - INT TERM
  if [[ $(state) == READY ]]; then
    failures=$((failures + 1))
    if ((failures >= ATTEMPTS)); then
      echo "training failed $failures times; see mfp.log on the hosts of $NAME" >&2
      exit 1
    fi
  fi
  sleep "$PAUSE"
done
