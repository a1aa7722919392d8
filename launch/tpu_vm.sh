#!/usr/bin/env bash
# One TPU slice as Cloud TPU VMs.
#
#   tpu_vm.sh create  --name=N --zone=Z --slice=v5e_16 [--spot]
#   tpu_vm.sh copy    --name=N --zone=Z     this checkout, to every host
#   tpu_vm.sh install --name=N --zone=Z [--setup=COMMAND]
#   tpu_vm.sh run     --name=N --zone=Z [--door=train] -- ARGUMENTS...
#   tpu_vm.sh logs    --name=N --zone=Z [--worker=0] [--lines=100] [--once]
#   tpu_vm.sh status  --name=N --zone=Z
#   tpu_vm.sh stop    --name=N --zone=Z     saves a checkpoint first
#   tpu_vm.sh delete  --name=N --zone=Z     ends the costs
#
# run:    starts `python -m crab_jax.DOOR --distributed ARGUMENTS` on every
#         host, in the background; it outlives this terminal.
# --setup: a shell command for every host, run in its home folder after the
#         install, e.g. to mount a file share or to copy records from a bucket.
# --slice: a row of slices.txt. --runtime_version replaces the row's.
# create also takes --reserved, --internal_ips, --network, --subnetwork,
#         --service_account, --scopes, --labels and --data_disk with gcloud's
#         values, and --gcloud_flag=FLAG, as often as need be, for any other.
# --internal_ips: for a slice that was created with it; what reaches a host
#         (copy, install, run, logs, status, stop) then goes to its internal
#         address, from a machine in the same network.
# --project: the Google Cloud project; otherwise gcloud's own setting.
# --dry_run: prints the commands instead of running them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=command_line.sh
. "$(dirname "${BASH_SOURCE[0]}")/command_line.sh"

flag_name='' flag_zone='' flag_project='' flag_slice='' flag_runtime_version=''
flag_setup='' flag_door=train flag_worker=0 flag_lines=100
flag_once=false flag_internal_ips=false

# tpu VERB TARGET FLAGS...: one gcloud command in our zone and project.
tpu() {
  local verb=$1
  shift
  must "$verb $flag_name" gcloud compute tpus tpu-vm "$verb" "$@" \
    --zone="$flag_zone" ${flag_project:+"--project=$flag_project"} --quiet
}

# reach ssh|scp ARGUMENTS...: to hosts; those without an external address are
# asked by their internal one.
reach() {
  local internal=()
  [[ $flag_internal_ips == false ]] || internal=(--internal-ip)
  tpu "$@" ${internal[@]+"${internal[@]}"}
}

# on_hosts WORKER COMMAND: a line for the shell of one host, or of `all`.
on_hosts() {
  reach ssh "$flag_name" --worker="$1" --command="$2"
}

# worker WHICH ARGUMENTS...: worker.sh on one host, or on `all`.
worker() {
  local which=$1
  shift
  on_hosts "$which" "$(quoted bash crab_jax/launch/worker.sh "$@")"
}

vm_create() {
  local type version
  require slice
  type=$(slice_field "$flag_slice" accelerator_type)
  version=$(slice_field "$flag_slice" runtime_version)
  # shellcheck disable=SC2086 # words
  set_creation $creation_switches network subnetwork service_account scopes \
    labels data_disk
  tpu create "$flag_name" --accelerator-type="$type" \
    --version="${flag_runtime_version:-$version}" \
    ${creation[@]+"${creation[@]}"}
}

# Packs what git tracks or would track, as it lies on the disk; never build/,
# where an archive would meet itself.
# shellcheck disable=SC2016 # $1 and $2 are the inner shell's
readonly pack='cd "$1" &&
  git ls-files -z --cached --others --exclude-standard --exclude=/build/ |
  while IFS= read -r -d "" file; do
    [ ! -e "$file" ] || printf "%s\0" "$file"
  done | tar --null -T - -czf "$2"'

vm_copy() {
  local root archive
  root=$(dirname "$launch")
  archive=$root/build/launch/$flag_name.tgz
  must "make a folder" mkdir -p "$(dirname "$archive")"
  # COPYFILE_DISABLE: or macOS packs a ._ file beside every file.
  must "pack $root, a git checkout" env COPYFILE_DISABLE=1 \
    bash -o pipefail -c "$pack" pack "$root" "$archive"
  reach scp "$archive" "$flag_name:crab_jax.tgz" --worker=all
  on_hosts all "mkdir -p crab_jax && tar -xzf crab_jax.tgz -C crab_jax"
}

vm_install() {
  worker all install ${flag_setup:+"$flag_setup"}
}

vm_run() {
  ((${#rest[@]})) || fail "run needs the door's arguments after --"
  [[ $flag_door != train ]] || require_shared_workdir "${rest[@]}"
  worker all start python -m "crab_jax.$flag_door" --distributed "${rest[@]}"
}

vm_logs() {
  local follow=(follow)
  [[ $flag_once == false ]] || follow=()
  worker "$flag_worker" log "$flag_lines" ${follow[@]+"${follow[@]}"}
}

vm_status() {
  # A host without the checkout is new.
  # shellcheck disable=SC2016 # the host's name, not ours
  local new='echo "crab_jax@$(hostname) new"'
  on_hosts all "bash crab_jax/launch/worker.sh status 2>/dev/null || $new"
}

vm_stop() {
  worker all stop
}

vm_delete() {
  tpu delete "$flag_name"
}

verb=${1:-}
case $verb in
  create)
    valued="slice runtime_version $creation_valued"
    switches=$creation_switches
    ;;
  install) valued=setup switches=internal_ips ;;
  run) valued=door switches=internal_ips ;;
  logs) valued="worker lines" switches="once internal_ips" ;;
  copy | status | stop) valued='' switches=internal_ips ;;
  delete) valued='' switches='' ;;
  --help | -h) usage && exit 0 ;;
  *) fail "unknown command '$verb' (see --help)" ;;
esac
shift
parse_flags "name zone project $valued" "dry_run $switches" "$@"
if [[ $verb != run ]] && ((${#rest[@]})); then
  fail "$verb takes nothing after --"
fi
refuse_late_dry_run
require name zone
require_program gcloud "install the Google Cloud CLI"
"vm_$verb"
