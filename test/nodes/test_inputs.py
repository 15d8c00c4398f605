"""What the planner sees of a robot whose messages pass a relay: images as well as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.inputs import InputBuffer  # noqa: E402
from wm_eval_ros.nodes.perturb_relay import RelayNode  # noqa: E402
from wm_eval_ros.nodes.planner import PlannerNode  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.perturb import catalogue  # noqa: E402
from wm_eval_ros.perturb.protocol import (  # noqa: E402
    ChangesEncoding,
    ChangesImages,
    ChangesSize,
)
from wm_eval_ros.planning.decision import Reading  # noqa: E402
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

JOINTS, POSE, IMAGE = ('sensor_msgs/msg/JointState', 'geometry_msgs/msg/PoseStamped',
                       'sensor_msgs/msg/Image')
EYE, OTHER = 'front/image_raw', 'back/image_raw'
#: what the camera sees: 8 x 8 pixels, of which no two are alike
SCENE = np.random.default_rng(0).integers(30, 225, (8, 8, 3)).astype(np.uint8)
#: that, as the model is given it
SEEN = (SCENE / 255.0).reshape(-1)
#: perturbations of pictures; of the messages they come in; and of the camera itself
PICTURES = ['nuisance.illumination', 'nuisance.image_noise', 'visual.blur', 'visual.colour',
            'visual.illumination', 'visual.noise', 'visual.occlusion', 'visual.salt']
MESSAGES = ['visual.truncated', 'visual.wrong_encoding']
CAMERA = ['visual.camera_shift']


class Flag:
    """Ends a loop from another thread."""

    def __init__(self) -> None:
        self.up = False

    def __bool__(self) -> bool:
        return self.up


def seeing_robot(folder: Path, perturbations: list[dict[str, Any]], **interface: Any) -> Path:
    """Write a scenario of a robot whose planner sees a camera beside the joints."""
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['plant'] |= {'kind': 'hardware'}
    raw['planner'] |= {'planner': 'random', 'model': '', 'model_sha256': '', 'stale_ms': 60000.0}
    raw['interface'] |= {'images': [{'topic': EYE, 'width': 8, 'height': 8}], **interface}
    raw['perturbations'] = perturbations
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(raw))
    return path


class Until:
    """Stops a node's loop once something holds, and fails if it never does."""

    def __init__(self, done: Callable[[], object], timeout_s: float = 60.0) -> None:
        self._done, self._end = done, time.monotonic() + timeout_s

    def __bool__(self) -> bool:
        assert time.monotonic() < self._end, 'it never happened'
        return bool(self._done())


class Scene:
    """A relay in a thread of its own, between a robot with a camera and a planner."""

    def __init__(self, graph: Any, cameras: tuple[str, ...], planner: bool) -> None:
        self.graph = graph
        self.robot = {topic: graph.publisher(IMAGE, topic, topics.SENSOR_OFFER)
                      for topic in cameras}
        self.robot |= {'joint_states': graph.publisher(JOINTS, 'joint_states', topics.SENSOR),
                       'tip_pose': graph.publisher(POSE, 'tip_pose', topics.SENSOR)}
        self.goal = graph.publisher(POSE, 'goal', topics.LATCHED)
        self.events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        self.told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)
        self.relay, self.stop = RelayNode(), Flag()
        scenario = self.relay.scenario
        self.planner: PlannerNode | None = None
        if planner:
            self.planner = graph.add(PlannerNode())
            assert self.planner is not None
            self.planner._start()
            self.inputs = self.planner._inputs
        else:
            self.inputs = InputBuffer(graph.node, graph.ends, scenario.interface, topics.SENSOR,
                                      ('planner', 'perturb_relay'))
        from rclpy.executors import SingleThreadedExecutor
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.relay.node)
        self.thread = threading.Thread(target=self.relay.spin, args=(self.executor, self.stop))
        self.thread.start()
        heard = [topics.perturbed(topic) for topic in self.robot]
        graph.until(lambda: all(p.get_subscription_count() for p in self.robot.values())
                    and all(graph.node.count_publishers(t) for t in heard)
                    and self.events.get_subscription_count() >= 2)

    def close(self) -> None:
        if self.planner is not None:
            self.planner._halt()
        self.stop.up = True
        self.thread.join()
        self.relay.finish(self.executor)
        self.executor.shutdown()
        self.relay.node.destroy_node()

    def events_heard(self) -> list[EpisodeEvent]:
        return [e for m in self.told if (e := codec.event_from_msg(m)).source != 'plant']

    def begin(self, ago_ns: int = 0) -> None:
        """Begin an episode; wait until all that is scheduled has begun, or will not."""
        self.events.publish(codec.event_to_msg(
            EpisodeEvent(time.time_ns() - ago_ns, 0, EventKind.START, '', 7.0, 'plant'), TYPES))
        self.graph.until(lambda: len(self.events_heard()) == len(
            self.relay.scenario.perturbations))

    def tell(self, stamp_ns: int, topic: str = EYE) -> None:
        message = message_type(IMAGE)()
        codec.set_stamp(message.header.stamp, stamp_ns)
        message.height, message.width, message.step = 8, 8, 24
        message.encoding, message.data = 'rgb8', SCENE.tobytes()
        self.robot[topic].publish(message)

    def tell_numbers(self, stamp_ns: int) -> None:
        joints = message_type(JOINTS)(name=['joint0', 'joint1'], position=[0.1, 0.2],
                                      velocity=[0.0, 0.0])
        for message, topic in ((joints, 'joint_states'), (message_type(POSE)(), 'tip_pose')):
            codec.set_stamp(message.header.stamp, stamp_ns)
            self.robot[topic].publish(message)

    def planned(self, older_ns: int) -> CycleRecord:
        """Run an episode, its pictures so much older than its numbers; return the first plan."""
        cycles = self.graph.listen(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                                   topics.TELEMETRY)
        self.goal.publish(message_type(POSE)())
        # samples from before an episode do not count
        self.begin(ago_ns=2 * older_ns)

        def found() -> list[CycleRecord]:
            now_ns = time.time_ns()
            self.tell(now_ns - older_ns)
            self.tell_numbers(now_ns)
            return [c for m in cycles
                    if (c := codec.cycle_from_msg(m)).status is CycleStatus.OK]

        assert self.planner is not None
        self.planner.spin(self.graph.executor, Until(found))  # type: ignore[arg-type]
        return found()[0]

    def picture(self) -> Reading | None:
        return self.inputs.snapshot().observations[-1]

    def seen(self, stamp_ns: int) -> NDArray[Any]:
        """Have the camera take a picture; return what the planner is given."""
        self.tell(stamp_ns)
        self.graph.until(lambda: (r := self.picture()) is not None
                         and r.ref.stamp_ns == stamp_ns)
        found = self.picture()
        assert found is not None
        assert found.ref.topic == f'/perturbed/{EYE}'
        assert found.image
        return found.values


Make = Callable[..., Scene]


@pytest.fixture
def make_scene(make_graph: Any, tmp_path: Path) -> Iterator[Make]:
    made: list[Scene] = []

    def make(*perturbations: dict[str, Any], cameras: tuple[str, ...] = (EYE,),
             planner: bool = False) -> Scene:
        path = seeing_robot(tmp_path, list(perturbations))
        graph = make_graph(scenario=str(path), nodes=['planner', 'perturb_relay'])
        made.append(Scene(graph, cameras, planner))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def test_no_perturbation_of_images_is_left_out_here() -> None:
    pytest.importorskip('cv2')
    kinds = {name: catalogue.load(name) for name in catalogue.names()}
    assert sorted(n for n, k in kinds.items() if issubclass(k, ChangesImages)) == PICTURES
    assert sorted(n for n, k in kinds.items()
                  if issubclass(k, (ChangesSize, ChangesEncoding))) == MESSAGES
    assert {n for n in kinds if n.startswith('visual.')} <= {*PICTURES, *MESSAGES, *CAMERA}


@pytest.mark.parametrize('name', PICTURES)
def test_a_perturbed_picture_is_what_the_planner_sees(make_scene: Make, name: str) -> None:
    if name == 'visual.blur':
        pytest.importorskip('cv2')
    scene = make_scene({'name': name})
    assert scene.seen(1).tolist() == pytest.approx(SEEN), 'before the episode'
    scene.begin()
    (event,) = scene.events_heard()
    assert (event.kind, event.label) == (EventKind.PERTURB_ON, name)
    off = np.abs(scene.seen(2) - SEEN)
    # what a nuisance does is little; the rest is plain to see
    assert off.mean() > (0.005 if name.startswith('nuisance') else 0.03)


def test_a_hidden_picture_is_hidden_from_the_planner(make_scene: Make) -> None:
    scene = make_scene({'name': 'visual.occlusion'})
    scene.begin()
    assert scene.seen(1).tolist() == pytest.approx([127 / 255] * 192)


def test_a_picture_under_a_wrong_name_is_seen_in_wrong_colours(make_scene: Make) -> None:
    scene = make_scene({'name': 'visual.wrong_encoding'})
    scene.begin()
    assert scene.seen(1).tolist() == pytest.approx((SCENE[..., ::-1] / 255.0).reshape(-1))


def test_of_a_picture_that_ends_early_nothing_is_seen(make_scene: Make) -> None:
    scene = make_scene({'name': 'visual.truncated'})
    passed = scene.graph.listen(IMAGE, f'perturbed/{EYE}', topics.SENSOR)
    scene.graph.until(lambda: scene.graph.node.count_subscribers(f'perturbed/{EYE}') == 2)
    scene.seen(1)
    scene.begin()
    scene.tell(2)
    scene.graph.until(lambda: len(passed) == 2)
    assert len(passed[1].data) < SCENE.size
    picture = scene.picture()
    assert picture is not None
    assert picture.ref.stamp_ns == 1, 'the one before, which goes stale'


def test_a_camera_cannot_be_moved_by_a_relay_and_the_planner_sees_it_as_it_is(
    make_scene: Make,
) -> None:
    scene = make_scene({'name': 'visual.camera_shift'})
    scene.begin()
    (event,) = scene.events_heard()
    assert event.kind is EventKind.PERTURB_SKIPPED
    assert event.label.startswith('visual.camera_shift: unsupported: a relay changes messages')
    assert scene.seen(1).tolist() == pytest.approx(SEEN)


def test_late_and_misdated_pictures_are_late_and_misdated_for_the_planner(
    make_scene: Make,
) -> None:
    scene = make_scene({'name': 'timing.stale_stamp', 'parameters': {'age': 1.5}},
                       {'name': 'timing.delay', 'parameters': {'longest': 0.15}})
    scene.begin()
    begun_ns = time.monotonic_ns()
    scene.tell(3 * 10**9)
    scene.graph.until(scene.picture)
    picture = scene.picture()
    assert picture is not None
    assert picture.ref.stamp_ns == 1_500_000_000
    assert picture.ref.steady_ns - begun_ns >= 150_000_000


def test_another_camera_is_perturbed_for_others(make_scene: Make) -> None:
    scene = make_scene({'name': 'visual.occlusion', 'topics': [OTHER]}, cameras=(EYE, OTHER))
    others = scene.graph.listen(IMAGE, f'perturbed/{OTHER}', topics.SENSOR)
    scene.graph.until(lambda: scene.graph.node.count_subscribers(f'perturbed/{OTHER}') == 1)
    scene.begin()
    scene.tell(1, OTHER)
    scene.graph.until(lambda: others)
    assert set(others[0].data) == {127}
    assert scene.seen(2).tolist() == pytest.approx(SEEN)


def test_the_planner_node_plans_from_the_perturbed_picture_and_its_record_names_it(
    make_scene: Make,
) -> None:
    scene = make_scene({'name': 'visual.occlusion'}, planner=True)
    planned = scene.planned(0)
    assert {ref.topic for ref in planned.inputs} >= {
        f'/perturbed/{EYE}', '/perturbed/joint_states', '/perturbed/tip_pose'}
    picture = scene.picture()
    assert picture is not None
    assert picture.values.tolist() == pytest.approx([127 / 255] * 192)


def test_a_picture_and_numbers_of_other_instants_are_used_together_and_each_keeps_its_stamp(
    make_scene: Make,
) -> None:
    scene = make_scene(planner=True)
    stamps = {ref.topic: ref.stamp_ns for ref in scene.planned(3 * 10**9).inputs}
    assert stamps['/perturbed/joint_states'] - stamps[f'/perturbed/{EYE}'] > 2 * 10**9
