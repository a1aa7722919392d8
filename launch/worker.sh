#!/usr/bin/env bash
# Runs on each host of a slice: installs crab_jax, keeps one command going in
# the background, and says how it goes. tpu_vm.sh calls it through ssh, the GKE
# manifest directly.
#
#   worker.sh install [SETUP]   makes the environment, then runs SETUP, a shell
#                               command of yours (mount, copy); may be repeated
#   worker.sh start COMMAND...  in the background, independent of the ssh that
#                               started it; nothing new if it runs already
#   worker.sh status            one line, "crab_jax@HOST WORD": new, idle,
#                               running, finished, stopped, lost or failed CODE
#   worker.sh stop              SIGTERM, on which training saves; waits for it
#   worker.sh log LINES [follow]
#   worker.sh attend COMMAND... in the foreground; exits with the command's code,
#                               or with 143 if SIGTERM came
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$HOME/.crab_jax # of this host: environment, log, pid, outcome
readonly checkout state
readonly patience=60 # seconds that a stop waits before it kills

fail() {
  printf 'error: %s: %s\n' "$(hostname)" "$*" >&2
  exit 2
}

install() {
  mkdir -p "$state"
  rm -f "$state/installed"
  # The images of TPU VMs have Python 3.10; uv brings its own Python along.
  PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
  if [[ ! -x $state/env/bin/python ]]; then
    python3 -m uv venv --python 3.12 "$state/env"
  fi
  python3 -m uv pip install --quiet --python "$state/env/bin/python" \
    --editable "${checkout}[tpu,gcs]"
  if [[ -n ${1:-} ]]; then
    (cd "$HOME" && bash -c "$1")
  fi
  touch "$state/installed"
}

running() {
  local pid
  [[ -f $state/pid ]] || return 1
  pid=$(<"$state/pid")
  # After a reboot the number may belong to another process.
  [[ -r /proc/$pid/cmdline ]] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q '^bash .*worker.sh supervise'
}

start() {
  local tick
  (($#)) || fail "worker.sh start needs a command"
  mkdir -p "$state"
  if running; then
    [[ $(<"$state/command") == "$(printf '%q ' "$@")" ]] ||
      fail "runs something else, stop that first: $(<"$state/command")"
    echo "crab_jax@$(hostname) runs already"
    return
  fi
  rm -f "$state/outcome"
  printf '%q ' "$@" >"$state/command"
  cd "$checkout"
  PATH=$state/env/bin:$PATH setsid bash "$checkout/launch/worker.sh" \
    supervise "$@" </dev/null >>"$state/log" 2>&1 &
  echo $! >"$state/pid"
  for ((tick = 0; tick < 100; tick++)); do
    if running || [[ -f $state/outcome ]]; then break; fi
    sleep 0.1
  done
  echo "crab_jax@$(hostname) started"
}

# Sets `code` to the command's exit code and `stopped` to whether SIGTERM came.
# A training that SIGTERM ended exits with 0, like one that came to its end;
# only who waits for it can tell the two apart.
_wait_for() {
  local child='' early=false # whether a signal came before a child was known
  stopped=false
  trap 'stopped=true
    if [[ -n $child ]]; then kill -TERM "$child" || true; else early=true; fi' \
    TERM INT
  "$@" &
  child=$!
  [[ $early == false ]] || kill -TERM "$child" || true
  while true; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || break # else the signal cut the wait short
  done
}

attend() {
  _wait_for "$@"
  [[ $stopped == false ]] || code=143
  return "$code"
}

supervise() {
  local outcome
  printf '\n=== %s: %s\n' "$(date)" "$*"
  _wait_for "$@"
  case $stopped-$code in
    true-*) outcome=stopped ;;
    false-0) outcome=finished ;;
    *) outcome="failed $code" ;;
  esac
  echo "=== $(date): $outcome"
  echo "$outcome" >"$state/outcome.new"
  mv "$state/outcome.new" "$state/outcome"
}

status() {
  local word=new
  if running; then
    word=running
  elif [[ -f $state/outcome ]]; then
    word=$(<"$state/outcome")
  elif [[ -f $state/pid ]]; then
    word=lost # the host went down, or the supervisor was killed
  elif [[ -f $state/installed ]]; then
    word=idle
  fi
  echo "crab_jax@$(hostname) $word"
}

stop() {
  local pid second
  if running; then
    pid=$(<"$state/pid")
    kill -TERM "$pid"
    for ((second = 0; second < patience; second++)); do
      running || break
      sleep 1
    done
    if running; then
      kill -KILL -- "-$pid" # its session: the command and its helpers
      echo stopped >"$state/outcome"
    fi
  fi
  status
}

log() {
  touch "$state/log"
  if [[ ${2:-} == follow ]]; then
    exec tail -n "$1" -F "$state/log"
  fi
  tail -n "$1" "$state/log"
}

verb=${1:-}
case $verb in
  install | start | status | stop | log | attend | supervise)
    shift
    "$verb" "$@"
    ;;
  *) fail "worker.sh: unknown command '$verb'" ;;
esac
