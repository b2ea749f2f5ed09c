"""The unit of systemd names what exists, and systemd accepts it."""

import re
import shutil
import subprocess
from configparser import ConfigParser

import pytest
import yaml

from fcn_road_seg.ros.arguments import RosArguments
from fcn_road_seg.ros.usage import NODE_TOPICS


@pytest.fixture(scope="module")
def unit(repository) -> ConfigParser:
    text = (repository / "config" / "road_seg.service").read_text()
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(re.sub(r" *\\\n *", " ", text))
    return parser


def test_the_unit_starts_the_node_with_topics_that_it_has(unit, repository):
    (command,) = re.fullmatch(r"/bin/bash -c '(.*)'", unit["Service"]["ExecStart"]).groups()
    *sourced, started = command.split(" && ")
    assert all(part.startswith(". /") and part.endswith("/setup.bash") for part in sourced)
    word, program, *words = started.split()
    assert word == "exec" and re.search(r"/lib/fcn_road_seg/(\w+)$", program)[1] == "road_seg_node"
    assert '"road_seg_node = {NAME}' in (repository / "setup.py").read_text()
    arguments = RosArguments.of(words)
    assert arguments.files and not arguments.others
    assert {rule.partition(":=")[0] for rule in arguments.remaps} <= {topic.name for topic in NODE_TOPICS}


def test_a_wrong_setting_is_not_tried_again(unit, repository):
    service = unit["Service"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2")
    assert float(service["RestartSec"]) < float(service["RestartMaxDelaySec"]) <= 60
    assert yaml.safe_load((repository / "compose.yaml").read_text())["services"]["node"]["restart"] == "unless-stopped"


def test_systemd_accepts_the_unit(repository):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    verify = ["systemd-analyze", "verify", "--man=no", str(repository / "config" / "road_seg.service")]
    result = subprocess.run(verify, capture_output=True, text=True, check=False)
    complaints = [line for line in result.stderr.splitlines() if "road_seg.service" in line]
    new = re.compile("Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)'")  # before systemd 254
    assert result.returncode == 0 and all(new.search(line) for line in complaints), result.stderr
