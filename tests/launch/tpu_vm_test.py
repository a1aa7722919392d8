"""launch/tpu_vm.sh against a fake gcloud."""

import pathlib
import shutil
import subprocess
import tarfile

import pytest

_WHERE = ("--name=crab", "--zone=us-west4-a")
_TRAIN = ("--gin_file=gin/base.gin", "--workdir=/mnt/crab/run")


def _words(*flags: str) -> list[str]:
  return [*flags, "--zone=us-west4-a", "--quiet"]


def test_create_asks_for_the_slice(cloud):
  done = cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5p_64", "--spot")
  assert done.returncode == 0, done.stderr
  assert cloud.calls() == [
    _words(
      *("tpu-vm", "create", "crab", "--accelerator-type=v5p-128"),
      *("--version=v2-alpha-tpuv5", "--spot"),
    )
  ]


def test_create_takes_what_a_project_asks_for(cloud):
  flags = ("--slice=v5e_4", "--reserved", "--internal_ips", "--network=n")
  more = (
    "--labels=a=b,c=d",
    "--gcloud_flag=--tags=x y",
    "--gcloud_flag=--async",
  )
  done = cloud.run("tpu_vm.sh", "create", *_WHERE, *flags, *more)
  assert done.returncode == 0, done.stderr
  call = cloud.calls()[0]
  assert {"--reserved", "--internal-ips", "--network=n"} <= set(call)
  assert {"--labels=a=b,c=d", "--tags=x y", "--async"} <= set(call)
  assert "--spot" not in call


@pytest.mark.parametrize("internal", [(), ("--internal_ips",)])
def test_hosts_without_an_external_address_are_reached_inside(
  cloud, printed, internal
):
  tails = {"install": (), "run": ("--", *_TRAIN), "logs": ("--once",)}
  calls = []
  for verb in ("copy", "install", "run", "logs", "status", "stop"):
    flags = (*_WHERE, "--dry_run", *internal, *tails.get(verb, ()))
    done = cloud.run("tpu_vm.sh", verb, *flags)
    assert done.returncode == 0, done.stderr
    calls += printed(done.stdout)
  done = cloud.run(
    "queued_resource.sh", "train", *_WHERE, "--slice=v5e_4", "--dry_run",
    *internal, "--", *_TRAIN,
  )  # fmt: skip
  calls += printed(done.stdout)
  reached = [call for call in calls if call[1] in ("ssh", "scp")]
  assert len(reached) == 7 + 6
  assert {"--internal-ip" in call for call in reached} == {bool(internal)}
  others = [call for call in calls if call not in reached]
  assert others
  assert not any("--internal-ip" in call for call in others)


def test_a_dry_run_after_the_dashes_does_nothing(cloud):
  done = cloud.run(
    "queued_resource.sh", "train", *_WHERE, "--slice=v5e_4", "--", *_TRAIN,
    "--dry_run",
  )  # fmt: skip
  assert done.returncode == 2
  assert "before --" in done.stderr
  assert cloud.calls() == []


def test_a_queued_request_names_its_reservation(cloud):
  done = cloud.run(
    "queued_resource.sh", "train", *_WHERE, "--slice=v5e_4", "--dry_run",
    "--reserved", "--reservation=r", "--valid_until=6h", "--", *_TRAIN,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  create = done.stdout.splitlines()[1]
  for word in ("--reserved", "--reservation=r", "--valid-until-duration=6h"):
    assert word in create
  assert "gcloud alpha compute tpus queued-resources create" in create
  assert cloud.calls() == []


def test_runtime_version_and_project_can_be_given(cloud):
  flags = ("--slice=v6e_16", "--runtime_version=new one", "--project", "p-1")
  assert cloud.run("tpu_vm.sh", "create", *_WHERE, *flags).returncode == 0
  call = cloud.calls()[0]
  assert "--version=new one" in call
  assert "--project=p-1" in call
  assert "--spot" not in call


def test_names_with_spaces_and_dashes_stay_one_word(cloud):
  where = ("--name", "my tpu - 1", "--zone=z a")
  flags = (*where, "--slice=v5e_16", "--project=a b")
  assert cloud.run("tpu_vm.sh", "create", *flags).returncode == 0
  assert cloud.run("tpu_vm.sh", "copy", *where).returncode == 0
  create, scp, ssh = cloud.calls()
  assert create[2] == "my tpu - 1"
  assert {"--zone=z a", "--project=a b"} <= set(create)
  assert pathlib.Path(scp[2]).name == "my tpu - 1.tgz"
  assert scp[3] == "my tpu - 1:crab_jax.tgz"
  assert ssh[2] == "my tpu - 1"


def _status(cloud) -> list[str]:
  lines = cloud.run("tpu_vm.sh", "status", *_WHERE).stdout.splitlines()
  return [line.split(" ", 1)[1] for line in lines]


def test_the_training_gets_its_arguments_unaltered(cloud, wait_until):
  odd = ("--gin_param=Stage.mixture={'a': 1}", "two  words", "$HOME `x` \\ ; &")
  cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5e_16")
  cloud.run("tpu_vm.sh", "copy", *_WHERE)
  assert cloud.run("tpu_vm.sh", "install", *_WHERE).returncode == 0
  done = cloud.run("tpu_vm.sh", "run", *_WHERE, "--", *_TRAIN, *odd)
  assert done.returncode == 0, done.stderr
  want = ["-m", "crab_jax.train", "--distributed", *_TRAIN, *odd]
  wait_until(lambda: _status(cloud) == ["finished", "finished"])
  assert cloud.arguments(0) == cloud.arguments(1) == want
  log = cloud.run("tpu_vm.sh", "logs", *_WHERE, "--once").stdout
  assert "a training that will finish" in log


def test_setup_runs_in_the_home_of_every_host(cloud):
  cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5e_16")
  cloud.run("tpu_vm.sh", "copy", *_WHERE)
  setup = "mkdir 'my records' && echo \"$HOME\" >'my records/home'"
  done = cloud.run("tpu_vm.sh", "install", *_WHERE, "--setup", setup)
  assert done.returncode == 0, done.stderr
  for host in (0, 1):
    home = cloud.root / "hosts" / str(host)
    assert (home / "my records/home").read_text().strip() == str(home)


def test_a_failed_setup_fails_the_install(cloud):
  cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5e_16")
  cloud.run("tpu_vm.sh", "copy", *_WHERE)
  done = cloud.run("tpu_vm.sh", "install", *_WHERE, "--setup=exit 7")
  assert done.returncode == 7
  assert _status(cloud) == ["new", "new"]


def test_copy_packs_what_git_would_track(cloud):
  for name, text in (
    (".gitignore", "*.log\n"),  # and no word of build/
    ("a file.py", "1"),
    ("b.log", "ignored"),
    ("gone.py", "deleted"),
  ):
    (cloud.checkout / name).write_text(text)
  git = ["git", "-C", str(cloud.checkout), "add", "gone.py"]
  subprocess.run(git, check=True)
  (cloud.checkout / "gone.py").unlink()
  for _ in range(2):  # the second one finds the archive of the first
    cloud.run("tpu_vm.sh", "copy", *_WHERE)  # fails: no slice; but it packs
  archive = cloud.checkout / "build/launch/crab.tgz"
  with tarfile.open(archive) as packed:
    names = set(packed.getnames())
  assert {"a file.py", "launch/worker.sh"} <= names
  assert not {"b.log", "gone.py"} & names
  assert not any(name.startswith("build") for name in names)


def test_a_checkout_without_git_is_an_error(cloud):
  shutil.rmtree(cloud.checkout / ".git")
  done = cloud.run("tpu_vm.sh", "copy", *_WHERE)
  assert done.returncode != 0
  assert "a git checkout" in done.stderr.splitlines()[-1]


def test_stop_saves_and_status_says_so(cloud, wait_until):
  cloud.scenario(trainings=("hang",))
  cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5e_16")
  cloud.run("tpu_vm.sh", "copy", *_WHERE)
  cloud.run("tpu_vm.sh", "install", *_WHERE)
  cloud.run("tpu_vm.sh", "run", *_WHERE, "--", *_TRAIN)
  wait_until(lambda: cloud.starts(1) == 1)
  done = cloud.run("tpu_vm.sh", "stop", *_WHERE)
  assert done.stdout.split()[1::2] == ["stopped", "stopped"]


@pytest.mark.parametrize(
  "arguments",
  [
    ("create", "--slice=v5e_16", "--spot"),
    ("copy",),
    ("install", "--setup=echo 'a b'"),
    ("run", "--door=evaluate", "--", "--gin_param=a.b='c d'"),
    ("logs", "--once", "--worker=1", "--lines=7"),
    ("status",),
    ("stop",),
    ("delete",),
  ],
)
def test_a_dry_run_prints_what_a_run_calls(cloud, printed, arguments):
  verb, *flags = arguments
  cloud.scenario(failures={"ssh": (0, "")})  # no host is there to answer
  dry = cloud.run("tpu_vm.sh", verb, *_WHERE, "--dry_run", *flags)
  assert dry.returncode == 0, dry.stderr
  assert cloud.calls() == []
  if verb == "copy":
    (cloud.root / "hosts/0").mkdir(parents=True)
  assert cloud.run("tpu_vm.sh", verb, *_WHERE, *flags).returncode == 0
  assert printed(dry.stdout) == cloud.calls() != []


def _path_without_gcloud(tmp_path: pathlib.Path) -> str:
  tools = tmp_path / "tools"
  tools.mkdir()
  for name in ("bash", "env", "dirname", "awk", "date"):
    (tools / name).symlink_to(shutil.which(name))
  return str(tools)


def test_a_dry_run_needs_no_gcloud(cloud, tmp_path):
  path = _path_without_gcloud(tmp_path)
  flags = ("create", *_WHERE, "--slice=v5e_16")
  done = cloud.run("tpu_vm.sh", *flags, "--dry_run", PATH=path)
  assert done.returncode == 0, done.stderr
  done = cloud.run("tpu_vm.sh", *flags, PATH=path)
  assert done.returncode == 2
  assert done.stderr == (
    "error: gcloud is not on the PATH; install the Google Cloud CLI\n"
  )


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    ((), "unknown command ''"),
    (("creat", *_WHERE), "'creat'"),
    (("create", *_WHERE, "--slice=v5e_16", "--sopt"), "--sopt"),
    (("create", *_WHERE, "--slice=v5e_16", "--spot=yes"), "--spot"),
    (("create", *_WHERE, "--slice=v5e_17"), "v5e_16"),
    (("create", *_WHERE), "--slice"),
    (("create", "--zone=z", "--slice=v5e_16"), "--name"),
    (("create", "--name=n", "--slice=v5e_16"), "--zone"),
    (("copy", *_WHERE, "--slice=v5e_16"), "--slice"),
    (("status", *_WHERE, "--name"), "--name"),
    (("status", *_WHERE, "more"), "'more'"),
    (("status", *_WHERE, "--", "more"), "--"),
    (("run", *_WHERE), "after --"),
    (("run", *_WHERE, "--", "--gin_file=a"), "--workdir"),
    (("run", *_WHERE, "--", "--workdir=runs/1"), "runs/1"),
    (("run", *_WHERE, "--", "--workdir=gs://"), "'gs://'"),
    (("run", *_WHERE, "--", "--workdir", "runs/2"), "runs/2"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(cloud, arguments, named):
  done = cloud.run("tpu_vm.sh", *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert named in done.stderr
  assert cloud.calls() == []


def test_a_failure_of_gcloud_is_named_and_passed_on(cloud):
  cloud.scenario(failures={"create": (5, "no quota")})
  done = cloud.run("tpu_vm.sh", "create", *_WHERE, "--slice=v5e_16")
  assert done.returncode == 5
  assert done.stderr.splitlines() == [
    "ERROR: (gcloud) no quota",
    "error: could not create crab (exit code 5)",
  ]


def test_help_is_the_head_of_the_script(cloud):
  done = cloud.run("tpu_vm.sh", "--help")
  assert done.returncode == 0
  assert done.stdout.startswith("One TPU slice as Cloud TPU VMs.\n")
  assert "set -euo" not in done.stdout
