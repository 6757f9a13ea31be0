#!/usr/bin/env bash
# A SLURM cluster of two virtual nodes on this machine. Root only; needs Debian's slurm-wlm and
# munge. Everything lies in FOLDER, but for two lines of /etc/hosts.
#
#   slurm_cluster.sh start FOLDER    and then: export SLURM_CONF=FOLDER/slurm.conf
#   slurm_cluster.sh stop FOLDER     leaves nothing running; may be called twice
#
# Jobs of the partition "urgent" preempt those of the default one, which have 30 s to stop.
set -euo pipefail

action=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
mark="# virtual SLURM node of $folder"
export SLURM_CONF="$folder/slurm.conf"

write_configuration() {
  local host controller node1 node2
  host=$(hostname -s)
  read -r controller node1 node2 < <(free_ports)
  cat > "$SLURM_CONF" << EOF
ClusterName=virtual
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=virtual1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$node1 CPUs=1
NodeName=virtual2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$node2 CPUs=1
PartitionName=all Nodes=virtual1,virtual2 Default=YES PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=virtual1,virtual2 PriorityTier=2
EOF
}

free_ports() {
  python3 - << 'EOF'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
EOF
}

start() {
  stop
  (umask 077 && mkdir -p "$folder/state" && head -c 1024 /dev/urandom > "$folder/munge.key")
  write_configuration
  # Tasks find the first of them by the name of its node.
  printf '127.0.0.1 %s %s\n' virtual1 "$mark" virtual2 "$mark" >> /etc/hosts
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
  slurmctld -c
  slurmd -N virtual1
  slurmd -N virtual2
  for _ in $(seq 150); do
    [[ $(sinfo --noheader --states=idle --format=%D 2>&1) == 2 ]] && return
    sleep 0.2
  done
  echo "the virtual nodes did not come up: see the logs in $folder" >&2
  exit 1
}

stop() {
  local daemon signal signalled
  if [[ -s $folder/slurmctld.pid ]]; then # job steps outlive the daemons: end them first
    timeout 10 scancel --me || true
    timeout 10 scancel --me --full --signal=KILL 2> /dev/null || true
    for _ in $(seq 50); do
      [[ -z $(timeout 10 squeue --noheader 2> /dev/null) ]] && break
      sleep 0.2
    done
  fi
  for signal in TERM KILL; do
    for _ in $(seq 50); do
      signalled=0
      for daemon in slurmctld slurmd.virtual1 slurmd.virtual2 munged; do
        if end "$daemon" "$signal"; then signalled=1; fi
      done
      ((signalled)) || break 2
      sleep 0.2
    done
  done
  grep -vF "$mark" /etc/hosts > "$folder/hosts" || true
  # Written into, not replaced: in a container the file is a mount.
  cmp --silent "$folder/hosts" /etc/hosts || cat "$folder/hosts" > /etc/hosts
}

end() { # signal a daemon by its pid file; false where it does not run
  local pid
  pid=$(cat "$folder/$1.pid" 2> /dev/null) || return 1
  [[ $(cat "/proc/$pid/comm" 2> /dev/null) == "${1%%.*}" ]] && kill "-$2" "$pid"
}

case $action in
  start | stop) "$action" ;;
  *) echo "usage: $0 start|stop FOLDER" >&2 && exit 2 ;;
esac
