"""Fixtures for every test: a small checkpoint, and an environment that keeps ROS 2 traffic on this machine."""

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fcn_road_seg.ros.domain import DomainReservation
from fcn_road_seg.ros.environment import local_discovery

os.environ.update(local_discovery(os.environ))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads would keep a core from other processes


@pytest.fixture(scope="session")
def repository() -> Path:
    """The source checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory) -> Path:
    """A checkpoint with random weights and a narrow network, whose answer differs from pixel to pixel."""
    import torch

    from fcn_road_seg.inference.checkpoint import Metadata, save
    from fcn_road_seg.inference.network import FCN8s

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = FCN8s("atrous", fc_width=16, std_init=1.0)
    save(path, network, Metadata(fc="atrous", fc_width=16, network_width=128, threshold=0.5))
    return path


@pytest.fixture(scope="session")
def shipped_weights(repository) -> Path:
    """The weights that ship with the package."""
    path = repository / "models" / "road_fcn8s.safetensors"
    if not path.is_file():
        pytest.skip("models/road_fcn8s.safetensors is not in this checkout")
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch computes in one thread: small layers take longest where threads wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need ROS 2: those that take a DDS domain, and those that are skipped without rclpy."""
    for item in items:
        if isinstance(item, pytest.Function) and (
            {"domain_id", "other_domain_id"} & {*item.fixturenames}
            or re.search(r'^pytest.importorskip\("rclpy"', inspect.getsource(item.module), re.MULTILINE)
            or 'importorskip("rclpy"' in inspect.getsource(item.function)
        ):
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope="module")
def domain_id() -> Iterator[int]:
    """A DDS domain for the tests of one module, which no test in another process has."""
    with DomainReservation() as reservation:
        yield reservation.domain_id


@pytest.fixture
def other_domain_id() -> Iterator[int]:
    """A DDS domain for one test, in a module whose own has a node already."""
    with DomainReservation() as reservation:
        yield reservation.domain_id


@pytest.fixture(scope="session")
def interfaces(pytestconfig) -> str:
    """Python code after which another process can import tf2_msgs, vision_msgs and bond, as this one can."""
    import ros_interfaces

    return ros_interfaces.make_importable(pytestconfig.cache.mkdir("ros_interfaces"))


@pytest.fixture(scope="module")
def context(domain_id):
    """A ROS 2 context of the module's own, for nodes in the test's process."""
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture(scope="module")
def client(domain_id, node):
    """A camera and a viewer of the module's own `node` fixture."""
    from node_harness import Client

    client = Client(domain_id)
    yield client
    client.close()


@pytest.fixture(scope="module")
def camera(client):
    """A publisher of images, which the node has found."""
    return client.camera()
