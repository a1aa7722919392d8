#!/usr/bin/env bash
# One TPU slice as virtual machines of Compute Engine, where newer TPUs come: a
# managed instance group whose hosts are made all at once or not at all.
#
#   compute_engine.sh create  --name=N --zone=Z --slice=v6e_16 [--spot]
#                             [--flex_start | --reservation=R]
#   compute_engine.sh copy    --name=N --zone=Z     this checkout, to every host
#   compute_engine.sh install --name=N --zone=Z [--setup=COMMAND]
#   compute_engine.sh run     --name=N --zone=Z [--door=train] -- ARGUMENTS...
#   compute_engine.sh logs    --name=N --zone=Z [--worker=0] [--lines=100] [--once]
#   compute_engine.sh status  --name=N --zone=Z
#   compute_engine.sh stop    --name=N --zone=Z     saves a checkpoint first
#   compute_engine.sh delete  --name=N --zone=Z     ends the costs
#
# The commands are those of tpu_vm.sh. `create` makes, by the name of the slice, an
# instance template and a group; of several hosts a workload policy too, with the
# topology. `delete` deletes them.
#
# --slice: a row of slices.txt.
# --flex_start: waits in a queue, then has the hosts for --max_run_duration (7d,
#         which is the most), then they are deleted.
# --reservation: of the project, or the path of one that is shared with it.
# --image_family: of the hosts' image, in --image_project.
# create also takes --internal_ips, --network, --subnetwork, --service_account,
#         --scopes, --labels and --disk_size with gcloud's values, and
#         --gcloud_flag=FLAG for any other of the template, as often as need be.
# --internal_ips, --iap: how hosts are reached: by their internal addresses, from
#         a machine in the same network, or through Identity-Aware Proxy.
# --project: the Google Cloud project; otherwise gcloud's own setting.
# --dry_run: prints the commands instead of running them; hosts are HOST-0, ...
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=command_line.sh
. "$(dirname "${BASH_SOURCE[0]}")/command_line.sh"
# shellcheck source-path=SCRIPTDIR source=hosts.sh
. "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"

flag_name='' flag_zone='' flag_project='' flag_slice='' flag_reservation=''
flag_image_family='' flag_image_project=ubuntu-os-accelerator-images
flag_disk_size=200GB flag_max_run_duration=7d
# Of Compute Engine's own default a bucket cannot be written.
# shellcheck disable=SC2034 # set_creation reads it
flag_scopes=cloud-platform
flag_internal_ips=false flag_iap=false flag_flex_start=false flag_spot=false
flag_subnetwork=''

# gcloud_compute WHAT WORDS...: one command in our project.
gcloud_compute() {
  local what=$1 release=''
  shift
  # In gcloud 528 only this release knows the flags that we give.
  case $1 in beta | alpha) release=$1 && shift ;; esac
  must "$what" gcloud ${release:+"$release"} compute "$@" \
    ${flag_project:+"--project=$flag_project"} --quiet
}

# The project's name, which a policy's address needs.
project() {
  if [[ -n $flag_project ]]; then
    printf '%s\n' "$flag_project"
  elif [[ $flag_dry_run == true ]]; then
    echo PROJECT
  else
    gcloud config get-value project 2>/dev/null
  fi
}

# Sets `provisioning` to how the hosts are had.
set_provisioning() {
  local -i ways=0
  provisioning=()
  if [[ $flag_spot == true ]]; then
    ways+=1
    provisioning=(--provisioning-model=SPOT --instance-termination-action=DELETE)
  fi
  if [[ $flag_flex_start == true ]]; then
    ways+=1
    provisioning=(--provisioning-model=FLEX_START
      --max-run-duration="$flag_max_run_duration"
      --instance-termination-action=DELETE --reservation-affinity=none)
  fi
  if [[ -n $flag_reservation ]]; then
    ways+=1
    provisioning=(--reservation-affinity=specific
      --reservation="$flag_reservation")
  fi
  ((ways < 2)) || fail "--spot, --flex_start and --reservation exclude each other"
}

# Of the image; Google's name of the family of v7x was not known here.
image_family() {
  if [[ -n $flag_image_family ]]; then
    printf '%s\n' "$flag_image_family"
  elif [[ $flag_slice == v7x_* ]]; then
    fail "--image_family is needed for $flag_slice:" \
      "gcloud compute images list --project=$flag_image_project"
  else
    echo ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e
  fi
}

create_template() {
  local machine family
  machine=$(slice_field "$flag_slice" machine_type)
  family=$(image_family)
  set_creation network service_account scopes labels
  gcloud_compute "create the template $flag_name" beta instance-templates create \
    "$flag_name" --machine-type="$machine" --image-family="$family" \
    --image-project="$flag_image_project" --boot-disk-size="$flag_disk_size" \
    --maintenance-policy=TERMINATE ${provisioning[@]+"${provisioning[@]}"} \
    ${flag_subnetwork:+"--subnet=$flag_subnetwork" "--region=$region"} \
    ${no_address[@]+"${no_address[@]}"} ${creation[@]+"${creation[@]}"}
}

vm_create() {
  local hosts topology region policy=() no_address=()
  require slice
  region=${flag_zone%-*}
  set_provisioning
  hosts=$(slice_field "$flag_slice" hosts)
  [[ $flag_internal_ips == false && $flag_iap == false ]] ||
    no_address=(--no-address)
  create_template
  if ((hosts > 1)); then
    topology=$(slice_field "$flag_slice" topology)
    gcloud_compute "create the policy $flag_name" resource-policies create \
      workload-policy "$flag_name" --type=HIGH_THROUGHPUT \
      --accelerator-topology="$topology" --region="$region"
    # A bare name is refused.
    policy=("--workload-policy=projects/$(
      project
    )/regions/$region/resourcePolicies/$flag_name")
  fi
  # A host that fails is no host to be replaced alone: the others wait for it.
  gcloud_compute "create the group $flag_name" alpha instance-groups managed \
    create "$flag_name" --template="$flag_name" --size=0 \
    --target-size-policy-mode=bulk --default-action-on-vm-failure=do-nothing \
    ${policy[@]+"${policy[@]}"} --zone="$flag_zone"
  gcloud_compute "ask for $hosts hosts" instance-groups managed resize \
    "$flag_name" --size="$hosts" --zone="$flag_zone"
}

# Also when a part is not there, as after a creation that broke off.
vm_delete() {
  local code=0 region=${flag_zone%-*}
  (gcloud_compute "delete the group $flag_name" instance-groups managed delete \
    "$flag_name" --zone="$flag_zone") || code=$?
  (gcloud_compute "delete the template $flag_name" instance-templates delete \
    "$flag_name") || code=$?
  # A slice of one host has none.
  (gcloud_compute "delete the policy $flag_name" resource-policies delete \
    "$flag_name" --region="$region") || code=$?
  return "$code"
}

# Sets `hosts` to the names of the hosts, in an order that stays.
set_hosts() {
  local listed
  local list=(instance-groups managed list-instances "$flag_name"
    --zone="$flag_zone" --format='value(instance.basename())' --sort-by=instance)
  if [[ $flag_dry_run == true ]]; then
    gcloud_compute "list the hosts" "${list[@]}"
    hosts=(HOST-0 HOST-1)
    return
  fi
  listed=$(gcloud_compute "list the hosts of $flag_name" "${list[@]}") || exit $?
  # shellcheck disable=SC2206 # names have no spaces
  hosts=($listed)
  ((${#hosts[@]})) || fail "$flag_name has no host yet"
}

# each_host FUNCTION WORDS...: FUNCTION HOST WORDS for every host, all at once;
# what they say is said in turn.
each_host() {
  local answers code=0 call=$1 index jobs=()
  shift
  answers=$(mktemp -d)
  for index in "${!hosts[@]}"; do
    "$call" "${hosts[index]}" "$@" >"$answers/$index" 2>"$answers/$index.err" &
    jobs+=($!)
  done
  for index in "${!hosts[@]}"; do
    wait "${jobs[index]}" || code=$?
    cat "$answers/$index"
    cat "$answers/$index.err" >&2
  done
  rm -rf "$answers"
  return "$code"
}

# Sets `way` to the words that say how a host is reached.
set_way() {
  way=()
  [[ $flag_internal_ips == false ]] || way=(--internal-ip)
  [[ $flag_iap == false ]] || way=(--tunnel-through-iap)
}

# on_host HOST COMMAND
on_host() {
  local way
  set_way
  gcloud_compute "reach $1" ssh "$1" --command="$2" --zone="$flag_zone" \
    ${way[@]+"${way[@]}"}
}

# to_host HOST FILE NAME
to_host() {
  local way
  set_way
  gcloud_compute "copy to $1" scp "$2" "$1:$3" --zone="$flag_zone" \
    ${way[@]+"${way[@]}"}
}

on_hosts() {
  local hosts
  set_hosts
  if [[ $1 == all ]]; then
    each_host on_host "$2"
  else
    [[ $1 =~ ^[0-9]+$ && -n ${hosts[$1]:-} ]] ||
      fail "--worker=$1: there are ${#hosts[@]} hosts, from 0"
    # Not through each_host: what is followed has no end.
    on_host "${hosts[$1]}" "$2"
  fi
}

to_hosts() {
  local hosts
  set_hosts
  each_host to_host "$@"
}

verb=${1:-}
reaching="internal_ips iap"
case $verb in
  create)
    valued="slice reservation image_family image_project disk_size network"
    valued+=" subnetwork service_account scopes labels max_run_duration gcloud_flag"
    switches="spot flex_start $reaching"
    ;;
  delete) valued='' switches='' ;;
  --help | -h) usage && exit 0 ;;
  *) host_verb "$verb" && switches+=" $reaching" ;;
esac
shift
run_verb "name zone project $valued" "dry_run $switches" "$@"
