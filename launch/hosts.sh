# shellcheck shell=bash
# What is done on the hosts of a slice, however they were made. To be sourced
# after command_line.sh, by a script that defines
#   on_hosts WORKER COMMAND   a line for the shell of one host, or of `all`
#   to_hosts FILE NAME        a copy in the home folder of every host
#   vm_create, vm_delete      the slice itself
# shellcheck disable=SC2154 # those two define what is read here

flag_setup='' flag_door=train flag_worker=0 flag_lines=100 flag_once=false

# worker WHICH ARGUMENTS...: worker.sh on one host, or on `all`.
worker() {
  local which=$1
  shift
  on_hosts "$which" "$(quoted bash crab_jax/launch/worker.sh "$@")"
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
  to_hosts "$archive" crab_jax.tgz
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

# host_verb VERB: sets `valued` and `switches` to its flags.
# shellcheck disable=SC2034 # read by the scripts that source this one
host_verb() {
  valued='' switches=''
  case $1 in
    install) valued=setup ;;
    run) valued=door ;;
    logs) valued="worker lines" switches=once ;;
    copy | status | stop) ;;
    *) fail "unknown command '$1' (see --help)" ;;
  esac
}

# run_verb VALUED SWITCHES ARGUMENTS...: parses the arguments, then runs $verb.
run_verb() {
  parse_flags "$@"
  if [[ $verb != run ]] && ((${#rest[@]})); then
    fail "$verb takes nothing after --"
  fi
  refuse_late_dry_run
  require name zone
  require_program gcloud "install the Google Cloud CLI"
  "vm_$verb"
}
