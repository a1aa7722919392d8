"""launch/compute_engine.sh against a fake gcloud."""

import shutil

import pytest

_WHERE = ("--name=crab", "--zone=us-east5-b")
_TRAIN = ("--gin_file=gin/base.gin", "--workdir=/mnt/crab/run")


def _create(cloud, *flags: str) -> list[list[str]]:
  """The calls of a creation of a slice of four hosts."""
  cloud.scenario(hosts=4)
  done = cloud.run("compute_engine.sh", "create", *_WHERE, *flags)
  assert done.returncode == 0, done.stderr
  return cloud.calls()


def test_a_slice_is_a_template_a_topology_and_a_group(cloud):
  template, policy, group, resize = _create(cloud, "--slice=v6e_16")
  assert template[:3] == ["instance-templates", "create", "crab"]
  assert {"--machine-type=ct6e-standard-4t", "--scopes=cloud-platform"} <= {
    *template
  }
  assert policy[:4] == [
    *("resource-policies", "create", "workload-policy", "crab"),
  ]
  assert {"--accelerator-topology=4x4", "--region=us-east5"} <= {*policy}
  address = "projects/the-project/regions/us-east5/resourcePolicies/crab"
  assert {
    *("--size=0", "--target-size-policy-mode=bulk", "--template=crab"),
    f"--workload-policy={address}",
  } <= {*group}
  assert resize == [
    *("instance-groups", "managed", "resize", "crab", "--size=4"),
    *("--zone=us-east5-b", "--quiet"),
  ]


def test_a_slice_of_one_host_has_no_topology(cloud):
  cloud.scenario(hosts=1)
  flags = (*_WHERE, "--slice=v6e_8", "--project=p")
  done = cloud.run("compute_engine.sh", "create", *flags)
  assert done.returncode == 0, done.stderr
  assert not any("resource-policies" in call for call in cloud.calls())
  assert all("--project=p" in call for call in cloud.calls())


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (("--spot",), {"--provisioning-model=SPOT"}),
    (
      ("--flex_start", "--max_run_duration=2d"),
      {"--provisioning-model=FLEX_START", "--max-run-duration=2d"},
    ),
    (
      ("--reservation=r",),
      {"--reservation=r", "--reservation-affinity=specific"},
    ),
    (("--iap",), {"--no-address"}),
    (("--internal_ips", "--scopes=s"), {"--no-address", "--scopes=s"}),
    (("--subnetwork=s",), {"--subnet=s", "--region=us-east5"}),
    (
      ("--labels=a=b", "--gcloud_flag=--tags=x", "--disk_size=1TB"),
      {"--labels=a=b", "--tags=x", "--boot-disk-size=1TB"},
    ),
  ],
)
def test_the_template_says_how_hosts_are_had(cloud, flags, words):
  template = _create(cloud, "--slice=v6e_16", *flags)[0]
  assert words <= {*template}


def test_the_training_runs_on_every_host_with_its_arguments(cloud, wait_until):
  odd = ("--gin_param=Stage.mixture={}", "two  words", "$HOME `x` \\ ; &")
  _create(cloud, "--slice=v6e_16")
  for verb, more in (
    ("copy", ()),
    ("install", ("--setup=echo 'a b' >made",)),
    ("run", ("--", *_TRAIN, *odd)),
  ):
    done = cloud.run("compute_engine.sh", verb, *_WHERE, *more)
    assert done.returncode == 0, done.stderr

  def words() -> list[str]:
    said = cloud.run("compute_engine.sh", "status", *_WHERE).stdout
    return [line.split(" ", 1)[1] for line in said.splitlines()]

  wait_until(lambda: words() == ["finished"] * 4)
  want = ["-m", "crab_jax.train", "--distributed", *_TRAIN, *odd]
  assert all(cloud.arguments(host) == want for host in range(4))
  assert (cloud.root / "hosts/3/made").read_text() == "a b\n"
  log = cloud.run("compute_engine.sh", "logs", *_WHERE, "--once", "--worker=3")
  assert "a training that will finish" in log.stdout


def test_a_host_that_fails_fails_the_call(cloud):
  _create(cloud, "--slice=v6e_16")
  cloud.run("compute_engine.sh", "copy", *_WHERE)
  shutil.rmtree(cloud.root / "hosts/2/crab_jax")
  done = cloud.run("compute_engine.sh", "install", *_WHERE)
  assert done.returncode != 0
  assert "could not reach crab-2" in done.stderr


def test_delete_goes_on_where_a_part_is_not_there(cloud):
  _create(cloud, "--slice=v6e_16")
  cloud.scenario(failures={"managed delete": (1, "NOT_FOUND")})
  done = cloud.run("compute_engine.sh", "delete", *_WHERE)
  assert done.returncode == 1
  deleted = [call for call in cloud.calls() if "delete" in call]
  assert [call[0] for call in deleted] == [
    *("instance-groups", "instance-templates", "resource-policies"),
  ]


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    (("create", *_WHERE), "--slice"),
    (("create", *_WHERE, "--slice=v6e_17"), "v6e_16"),
    (("create", *_WHERE, "--slice=v7x_16"), "--image_family"),
    (("create", *_WHERE, "--slice=v6e_16", "--spot", "--flex_start"), "--spot"),
    (("create", "--name=n", "--slice=v6e_16"), "--zone"),
    (("delete", *_WHERE, "--iap"), "--iap"),
    (("crate", *_WHERE), "'crate'"),
    (("run", *_WHERE, "--", "--workdir=runs/1"), "runs/1"),
    (("run", *_WHERE, "--", *_TRAIN, "--dry_run"), "before --"),
    (("status", *_WHERE), "no host yet"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(cloud, arguments, named):
  done = cloud.run("compute_engine.sh", *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert named in done.stderr


@pytest.mark.parametrize(
  "arguments",
  [
    ("create", "--slice=v6e_16", "--spot", "--project=p"),
    ("copy",),
    ("install", "--setup=echo 'a b'"),
    ("run", "--door=evaluate", "--", "--gin_param=a.b='c d'"),
    ("status",),
    ("delete",),
  ],
)
def test_a_dry_run_prints_what_a_run_calls(cloud, printed, arguments):
  verb, *flags = arguments
  cloud.scenario(
    hosts=4 if verb == "create" else 2, failures={"^s(sh|cp)": (0, "")}
  )
  where = ("--name=HOST", "--zone=us-east5-b")  # whose hosts are HOST-0 and -1
  dry = cloud.run("compute_engine.sh", verb, *where, "--dry_run", *flags)
  assert dry.returncode == 0, dry.stderr
  assert cloud.calls() == []
  if verb not in ("create", "delete"):
    for host in (0, 1):
      (cloud.root / f"hosts/{host}").mkdir(parents=True)
  assert cloud.run("compute_engine.sh", verb, *where, *flags).returncode == 0
  # Hosts are called at once, in any order.
  assert sorted(printed(dry.stdout)) == sorted(cloud.calls()) != []
