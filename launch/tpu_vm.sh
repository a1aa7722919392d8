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
# shellcheck source-path=SCRIPTDIR source=hosts.sh
. "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"

flag_name='' flag_zone='' flag_project='' flag_slice='' flag_runtime_version=''
flag_internal_ips=false

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

# to_hosts FILE NAME: a copy in the home folder of every host.
to_hosts() {
  reach scp "$1" "$flag_name:$2" --worker=all
}

vm_create() {
  local type version
  require slice
  type=$(accelerator_type "$flag_slice")
  version=$(slice_field "$flag_slice" runtime_version)
  # shellcheck disable=SC2086 # words
  set_creation $creation_switches network subnetwork service_account scopes \
    labels data_disk
  tpu create "$flag_name" --accelerator-type="$type" \
    --version="${flag_runtime_version:-$version}" \
    ${creation[@]+"${creation[@]}"}
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
  delete) valued='' switches='' ;;
  --help | -h) usage && exit 0 ;;
  *) host_verb "$verb" && switches+=" internal_ips" ;;
esac
shift
run_verb "name zone project $valued" "dry_run $switches" "$@"
