"""launch/queued_resource.sh: training goes on whatever happens to the slice."""

import os
import signal
import subprocess

import pytest

_WHERE = ("--name=crab", "--zone=us-west4-a")
_TRAIN = ("--gin_file=gin/base.gin", "--workdir=/mnt/crab/a run")
_FLAGS = (*_WHERE, "--slice=v5e_16", "--spot", "--poll=0.1")
_COMMAND = ["-m", "crab_jax.train", "--distributed", *_TRAIN]


def _train(cloud, *flags: str):
  return cloud.run(
    "queued_resource.sh", "train", *_FLAGS, *flags, "--", *_TRAIN
  )


def test_it_waits_trains_and_deletes(cloud):
  cloud.scenario(states=[["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]])
  done = _train(cloud)
  assert done.returncode == 0, done.stderr
  verbs = cloud.verbs()
  assert verbs.count("queued-resources create") == 1
  assert verbs[-1] == "queued-resources delete"
  assert cloud.arguments(0) == cloud.arguments(1) == _COMMAND
  assert "a training that will finish" in done.stderr
  create = next(c for c in cloud.calls() if c[1] == "create")
  assert create == [
    *("queued-resources", "create", "crab", "--node-id=crab"),
    *("--accelerator-type=v5litepod-16",),
    *("--runtime-version=v2-alpha-tpuv5-lite", "--spot", "--async"),
    *("--zone=us-west4-a", "--quiet"),
  ]


@pytest.mark.parametrize(
  "last",
  ["SUSPENDED", pytest.param("ACTIVE-PREEMPTED", marks=pytest.mark.slow)],
)
def test_a_preempted_slice_is_made_anew_and_trains_on(cloud, last):
  cloud.scenario(
    states=[["ACTIVE"] * 4 + [last], ["WAITING_FOR_RESOURCES", "ACTIVE"]],
    trainings=["hang", "finish"],
  )
  done = _train(cloud, "--max_failures=1")  # a preemption is no failure
  assert done.returncode == 0, done.stderr
  assert "crab was preempted" in done.stderr
  verbs = cloud.verbs()
  assert verbs.count("queued-resources create") == 2
  first = verbs.index("queued-resources delete")
  assert verbs[first + 2] == "queued-resources create"
  assert "--force" in cloud.calls()[first]
  assert cloud.arguments() == [*_COMMAND, *_COMMAND]


@pytest.mark.slow
def test_hosts_that_break_off_in_a_preemption_are_no_failure(cloud):
  cloud.scenario(
    states=[["ACTIVE"] * 2 + ["SUSPENDING", "SUSPENDED"], ["ACTIVE"]],
    trainings=["exit 1", "finish"],
  )
  done = _train(cloud, "--max_failures=1")
  assert done.returncode == 0, done.stderr
  assert cloud.verbs().count("queued-resources create") == 2


def test_a_crash_starts_again_on_the_same_slice(cloud):
  cloud.scenario(trainings=["exit 1", "finish"])
  done = _train(cloud)
  assert done.returncode == 0, done.stderr
  assert "failure 1 of at most 5" in done.stderr
  assert cloud.verbs().count("queued-resources create") == 1
  assert cloud.arguments() == [*_COMMAND, *_COMMAND]


def test_a_stopped_training_goes_on(cloud, wait_until):
  cloud.scenario(trainings=["hang", "finish"])
  loop = subprocess.Popen(
    [
      cloud.checkout / "launch/queued_resource.sh",
      *("train", *_FLAGS, "--max_failures=1", "--", *_TRAIN),
    ],
    env=cloud.environment,
  )
  wait_until(lambda: cloud.starts(1) == 1)
  cloud.run("tpu_vm.sh", "stop", *_WHERE)
  assert loop.wait(300) == 0
  assert cloud.starts() == cloud.starts(1) == 2


def test_a_stop_of_one_host_stops_the_others(cloud, wait_until):
  cloud.scenario(trainings=["hang", "finish"])
  loop = subprocess.Popen(
    [
      cloud.checkout / "launch/queued_resource.sh",
      *("train", *_FLAGS, "--max_failures=1", "--", *_TRAIN),
    ],
    env=cloud.environment,
    stderr=subprocess.PIPE,
    text=True,
  )
  wait_until(lambda: cloud.starts(1) == 1)
  (pid,) = cloud.root.glob("hosts/0/.crab_jax/pid")
  os.kill(int(pid.read_text()), signal.SIGTERM)
  said = loop.communicate(timeout=300)[1]
  assert loop.returncode == 0, said
  assert "stopping these too" in said
  assert cloud.starts() == cloud.starts(1) == 2


def test_it_gives_up_after_too_many_crashes(cloud):
  cloud.scenario(trainings=["exit 1"])
  done = _train(cloud, "--max_failures=2")
  assert done.returncode == 1
  assert "giving up on crab" in done.stderr
  assert cloud.starts() == 2
  assert cloud.verbs()[-1] == "queued-resources delete"


def test_a_mistake_of_the_user_is_not_tried_again(cloud):
  cloud.scenario(trainings=["exit 2"])
  done = _train(cloud)
  assert done.returncode == 2
  assert cloud.starts() == 1
  assert cloud.verbs()[-1] == "queued-resources delete"


@pytest.mark.slow
def test_exit_code_25_is_no_mistake_of_the_user(cloud):
  cloud.scenario(trainings=["exit 25", "finish"])
  assert _train(cloud).returncode == 0


@pytest.mark.slow
def test_keep_leaves_the_slice(cloud):
  done = _train(cloud, "--keep")
  assert done.returncode == 0
  assert "costs money" in done.stderr
  assert "queued-resources delete" not in cloud.verbs()


def test_a_failed_request_is_made_again_then_given_up(cloud):
  cloud.scenario(states=[["FAILED"]])
  done = _train(cloud, "--max_failures=3")
  assert done.returncode == 1
  assert "no such luck" in done.stderr
  verbs = cloud.verbs()
  assert verbs.count("queued-resources create") == 3
  assert verbs[-1] == "queued-resources delete"


def test_a_refused_request_ends_at_once_with_its_code(cloud):
  cloud.scenario(failures={"create": (7, "PERMISSION_DENIED")})
  done = _train(cloud)
  assert done.returncode == 7
  assert "PERMISSION_DENIED" in done.stderr
  assert "refused" in done.stderr.splitlines()[-1]


def test_no_answer_at_the_first_look_ends_with_gclouds_code(cloud):
  cloud.scenario(failures={"describe": (4, "not logged in")})
  done = _train(cloud)
  assert done.returncode == 4
  assert "not logged in" in done.stderr
  assert cloud.verbs() == ["queued-resources describe"]


@pytest.mark.slow
def test_a_slice_that_does_not_answer_is_replaced(cloud):
  cloud.scenario(
    trainings=["hang"], failures={"worker.sh status": (255, "timed out")}
  )
  done = _train(cloud, "--max_failures=2")
  assert done.returncode == 1
  assert cloud.verbs().count("queued-resources create") == 2


def _interrupted(cloud, wait_until) -> str:
  """What a loop says that is interrupted while the training runs."""
  loop = subprocess.Popen(
    [
      cloud.checkout / "launch/queued_resource.sh",
      *("train", *_FLAGS, "--", *_TRAIN),
    ],
    env=cloud.environment,
    stderr=subprocess.PIPE,
    text=True,
  )
  wait_until(lambda: cloud.starts(1) == 1)
  loop.send_signal(signal.SIGINT)
  said = loop.communicate(timeout=300)[1]
  assert loop.returncode == 130
  return said


@pytest.mark.slow
def test_a_loop_that_begins_again_finds_the_training_running(cloud, wait_until):
  cloud.scenario(trainings=["sleep 20"])
  assert "cost money" in _interrupted(cloud, wait_until)
  done = _train(cloud)
  assert done.returncode == 0, done.stderr
  assert cloud.starts() == 1
  assert cloud.verbs().count("queued-resources create") == 1


def test_a_dry_run_prints_what_a_run_calls(cloud, printed):
  dry = _train(cloud, "--dry_run", "--setup=true")
  assert dry.returncode == 0, dry.stderr
  assert cloud.calls() == []
  assert _train(cloud, "--setup=true").returncode == 0

  def without_repeats(calls):
    # The order of the first of each; a run looks more often than once.
    return list(dict.fromkeys(map(tuple, calls)))

  dry_calls = without_repeats(printed(dry.stdout))
  assert sorted(dry_calls) == sorted(without_repeats(cloud.calls()))
  acts = ("create", "scp", "ssh", "delete")
  ordered = [call for call in dry_calls if call[1] in acts]
  called = without_repeats(cloud.calls())
  assert ordered == [call for call in called if call[1] in acts]


def test_status_and_delete(cloud):
  cloud.scenario(states=[["WAITING_FOR_RESOURCES"]])
  done = cloud.run("queued_resource.sh", "status", *_WHERE)
  assert done.returncode == 1
  assert "could not describe crab" in done.stderr
  subprocess.run(
    [
      cloud.root / "bin/gcloud",
      *["compute", "tpus", "queued-resources", "create"],
    ],
    env=cloud.environment,
    check=True,
  )
  done = cloud.run("queued_resource.sh", "status", *_WHERE)
  assert done.stdout == "WAITING_FOR_RESOURCES\n"
  assert cloud.run("queued_resource.sh", "delete", *_WHERE).returncode == 0
  assert cloud.calls()[-1] == [
    *("queued-resources", "delete", "crab", "--force"),
    *("--zone=us-west4-a", "--quiet"),
  ]


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    (("--slcie=v5e_16", "--", *_TRAIN), "--slcie"),
    (("--slice=v5e_15", "--", *_TRAIN), "v5e_15"),
    (("--slice=v5e_16",), "after --"),
    (("--slice=v5e_16", "--", "--workdir=here"), "here"),
    (("--slice=v5e_16", "--poll=soon", "--", *_TRAIN), "soon"),
    (("--slice=v5e_16", "--max_failures=0", "--", *_TRAIN), "max_failures"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(cloud, arguments, named):
  done = cloud.run("queued_resource.sh", "train", *_WHERE, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert named in done.stderr
  assert cloud.calls() == []
