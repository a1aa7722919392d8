"""launch/gke_jobset.py and the manifest it fills."""

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
_FLAGS = ("--name=crab-1", "--slice=v5p_64", "--image=r/i:1", "--bucket=b")
_TRAIN = ("--gin_file=gin/base.gin", "--workdir=/bucket/a run")


def _run(*arguments: str, **environment: str):
  return subprocess.run(
    [sys.executable, str(_LAUNCH / "gke_jobset.py"), *arguments],
    env={"PATH": os.environ["PATH"], **environment},
    capture_output=True,
    text=True,
  )


def _manifest(*flags: str, arguments=_TRAIN) -> dict:
  done = _run(*_FLAGS, "--dry_run", *flags, "--", *arguments)
  assert done.returncode == 0, done.stderr
  return yaml.safe_load(done.stdout)


def _job(manifest: dict) -> dict:
  (job,) = manifest["spec"]["replicatedJobs"]
  return job["template"]["spec"]


def _pod(manifest: dict) -> dict:
  return _job(manifest)["template"]["spec"]


def test_every_host_of_the_slice_gets_a_pod():
  manifest = _manifest()
  assert manifest["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
  assert manifest["kind"] == "JobSet"
  assert manifest["metadata"]["name"] == "crab-1"
  job, pod = _job(manifest), _pod(manifest)
  assert job["parallelism"] == job["completions"] == 16
  assert job["backoffLimit"] == 0
  assert pod["restartPolicy"] == "Never"
  assert pod["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
    "cloud.google.com/gke-tpu-topology": "4x4x4",
  }
  (container,) = pod["containers"]
  assert container["image"] == "r/i:1"
  chips = {"google.com/tpu": 4}
  assert container["resources"] == {"requests": chips, "limits": chips}


def test_mounts_are_volumes_and_the_bucket_is_ours():
  pod = _pod(_manifest())
  volumes = {volume["name"]: volume for volume in pod["volumes"]}
  (container,) = pod["containers"]
  mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
  assert set(volumes) >= set(mounts)
  assert mounts["bucket"]["mountPath"] == "/bucket"
  attributes = volumes["bucket"]["csi"]["volumeAttributes"]
  assert attributes["bucketName"] == "b"


@pytest.mark.parametrize("slices", [1, 3])
def test_every_slice_is_a_job_and_has_a_node_pool_of_its_own(slices):
  manifest = _manifest(*([f"--slices={slices}"] if slices > 1 else []))
  (job,) = manifest["spec"]["replicatedJobs"]
  assert job["replicas"] == slices
  assert job["template"]["spec"]["parallelism"] == 16
  assert manifest["metadata"]["annotations"] == {
    "alpha.jobset.sigs.k8s.io/exclusive-topology": (
      "cloud.google.com/gke-nodepool"
    )
  }


def test_pods_are_on_the_network_of_their_hosts():
  pod = _pod(_manifest())
  assert pod["hostNetwork"] is True
  # Without it they would not find each other's names.
  assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"
  (bucket,) = (x for x in pod["volumes"] if x["name"] == "bucket")
  assert bucket["csi"]["volumeAttributes"]["hostNetworkPodKSA"] == "true"


def _options(pod: dict) -> dict[str, str]:
  (bucket,) = (x for x in pod["volumes"] if x["name"] == "bucket")
  words = bucket["csi"]["volumeAttributes"]["mountOptions"].split(",")
  return dict(word.rpartition(":")[::2] for word in words)


def test_what_another_host_wrote_is_seen_at_once():
  for flags in ((), ("--cache_gb=20",)):
    options = _options(_pod(_manifest(*flags)))
    assert options["metadata-cache:ttl-secs"] == "0"
    assert options["metadata-cache:negative-ttl-secs"] == "0"


def test_a_cache_is_as_large_as_it_is_said_to_be():
  pod = _pod(_manifest("--cache_gb=20"))
  (cache,) = (x for x in pod["volumes"] if x["name"] == "gke-gcsfuse-cache")
  assert cache["emptyDir"] == {"medium": "Memory", "sizeLimit": "20Gi"}
  options = _options(pod)
  assert options["file-cache:max-size-mb"] == "20480"
  assert options["file-cache:enable-parallel-downloads"] == "true"
  without = _pod(_manifest())
  assert {x["name"] for x in without["volumes"]} == {"bucket", "shared-memory"}
  assert not any("file-cache" in name for name in _options(without))


@pytest.mark.parametrize(
  ("flag", "label", "value"),
  [
    ("--flex_start", "gke-flex-start", "true"),
    ("--reservation=r", "reservation-name", "r"),
    ("--spot", "gke-spot", "true"),
  ],
)
def test_nodes_are_those_of_the_pool(flag, label, value):
  selector = _pod(_manifest(flag))["nodeSelector"]
  assert selector[f"cloud.google.com/{label}"] == value
  assert len(selector) == 3


def test_a_mistake_of_the_user_is_not_restarted():
  manifest = _manifest("--max_restarts=7")
  policy = manifest["spec"]["failurePolicy"]
  assert policy["maxRestarts"] == 7
  assert policy["rules"] == [
    {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
  ]
  (rule,) = _job(manifest)["podFailurePolicy"]["rules"]
  (container,) = _pod(manifest)["containers"]
  assert rule["action"] == "FailJob"
  assert rule["onExitCodes"] == {
    "containerName": container["name"],
    "operator": "In",
    "values": [2],
  }


def test_spot_and_service_account_are_there_when_asked_for():
  pod = _pod(_manifest("--spot", "--service_account=trainer"))
  assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
  assert pod["serviceAccountName"] == "trainer"
  assert "serviceAccountName" not in _pod(_manifest())


def test_the_training_gets_its_arguments_unaltered():
  odd = ("--gin_param=Stage.name=\"a: 'b'\"", "$(X) $$", "é\n- {x}", "${name}")
  (container,) = _pod(_manifest(arguments=(*_TRAIN, *odd)))["containers"]
  command = [word.replace("$$", "$") for word in container["command"]]
  assert command == [
    *("bash", "launch/worker.sh", "attend"),
    *("python", "-m", "crab_jax.train", "--distributed", *_TRAIN, *odd),
  ]
  assert "$$(X) $$$$" in container["command"]


def _fake_kubectl(tmp_path: pathlib.Path, code: int) -> str:
  script = tmp_path / "kubectl"
  script.write_text(
    f"#!/bin/sh\necho \"$@\" >'{tmp_path}/arguments'\n"
    f"cat >'{tmp_path}/input'\nexit {code}\n"
  )
  script.chmod(0o755)
  return f"{tmp_path}:{os.environ['PATH']}"


def test_kubectl_gets_what_a_dry_run_prints(tmp_path):
  path = _fake_kubectl(tmp_path, 0)
  done = _run(*_FLAGS, "--", *_TRAIN, PATH=path)
  assert done.returncode == 0, done.stderr
  head, text = _run(*_FLAGS, "--dry_run", "--", *_TRAIN).stdout.split("\n", 1)
  assert (tmp_path / "input").read_text() == text
  arguments = (tmp_path / "arguments").read_text().split()
  assert head == "# kubectl " + " ".join(arguments)


def test_a_failure_of_kubectl_is_passed_on(tmp_path):
  done = _run(*_FLAGS, "--", *_TRAIN, PATH=_fake_kubectl(tmp_path, 4))
  assert done.returncode == 4
  assert done.stderr == "error: kubectl apply failed (exit code 4)\n"


def test_without_kubectl_it_says_so(tmp_path):
  done = _run(*_FLAGS, "--", *_TRAIN, PATH=str(tmp_path))
  assert done.returncode == 2
  assert "kubectl is not on the PATH" in done.stderr


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    ((*_FLAGS, "--sopt", "--", *_TRAIN), "--sopt"),
    ((*_FLAGS[1:], "--", *_TRAIN), "--name"),
    ((*_FLAGS, "--name=a b", "--", *_TRAIN), "a b"),
    ((*_FLAGS, "--slice=v5e_17", "--", *_TRAIN), "v5e_16"),
    ((*_FLAGS, "--max_restarts=few", "--", *_TRAIN), "max_restarts"),
    ((*_FLAGS, "--slices=0", "--", *_TRAIN), "--slices=0"),
    ((*_FLAGS, "--cache_gb=-1", "--", *_TRAIN), "--cache_gb=-1"),
    ((*_FLAGS, "--spot", "--flex_start", "--", *_TRAIN), "--spot"),
    (_FLAGS, "arguments"),
    ((*_FLAGS, "--", "--workdir=runs/1"), "--workdir"),
    ((*_FLAGS, "--", "--workdir=gs://b/run"), "/bucket/RUN"),
    ((*_FLAGS, "--", "--workdir", "/tmp/run"), "--workdir"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, named):
  done = _run(*arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert named in done.stderr


def test_every_key_of_the_manifest_has_a_value():
  assert None not in _leaves(_manifest())
  assert None not in _leaves(_manifest("--spot", "--service_account=a"))
  assert None not in _leaves(_manifest("--reservation=r", "--cache_gb=1"))


def _leaves(tree) -> list:
  if isinstance(tree, dict):
    tree = list(tree.values())
  if isinstance(tree, list):
    return [leaf for part in tree for leaf in _leaves(part)]
  return [tree]
