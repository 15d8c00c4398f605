"""A Foxglove layout for the topics of one bag; Lichtblick reads the same file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Panel = tuple[str, dict[str, Any]]

CYCLE, EVENT = 'wm_eval_ros/msg/PlannerCycle', 'wm_eval_ros/msg/EpisodeEvent'
METRIC = 'wm_eval_ros/msg/MetricArray'
_IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
#: types the 3D panel draws by itself
_SPATIAL = ('geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/PoseArray',
            'nav_msgs/msg/Odometry', 'nav_msgs/msg/Path', 'sensor_msgs/msg/LaserScan',
            'sensor_msgs/msg/PointCloud2', 'visualization_msgs/msg/MarkerArray',
            'visualization_msgs/msg/Marker', 'tf2_msgs/msg/TFMessage', 'sensor_msgs/msg/NavSatFix')
#: type -> fields that are worth a line; `{}` is the place of a joint
_PLOTTED = {
    'sensor_msgs/msg/JointState': ('position[{}]', 'velocity[{}]'),
    'geometry_msgs/msg/PoseStamped': ('pose.position.x', 'pose.position.y', 'pose.position.z'),
    'geometry_msgs/msg/TwistStamped': ('twist.linear.x', 'twist.linear.y', 'twist.angular.z'),
    'geometry_msgs/msg/Twist': ('linear.x', 'linear.y', 'angular.z'),
    'nav_msgs/msg/Odometry': ('twist.twist.linear.x', 'twist.twist.angular.z'),
    'sensor_msgs/msg/Imu': ('angular_velocity.z', 'linear_acceleration.x',
                            'linear_acceleration.y', 'linear_acceleration.z'),
    'geometry_msgs/msg/WrenchStamped': ('wrench.force.x', 'wrench.force.y', 'wrench.force.z'),
    'std_msgs/msg/Float64MultiArray': ('data[:]{}',)}
#: lines of one panel at most
_LINES = 10
#: metrics that are times [ms]
_TIMES = ('plan_latency', 'decision_latency', 'sense_to_act')


def layout(topics: Mapping[str, str], metrics: Sequence[str] = (),
           joints: Mapping[str, int] | None = None,
           deadline_ms: float | None = None) -> dict[str, Any]:
    """
    Return a layout with a panel for everything that this bag can show.

    :param topics: topic -> type
    :param metrics: names in the live metrics' arrays, in their order
    :param joints: topic -> number of joints, for the plots of joint states
    :param deadline_ms: drawn into the plot of latencies; None: not known
    """
    by_type: dict[str, list[str]] = {}
    for topic, kind in sorted(topics.items()):
        by_type.setdefault(kind, []).append(topic)
    columns = [_seen(by_type), _measured(by_type, metrics, deadline_ms),
               _values(by_type, joints or {}), _raw(by_type)]
    filled = [column for column in columns if column]
    panels = [panel for column in filled for panel in column]
    return {'configById': dict(panels), 'globalVariables': {}, 'userNodes': {},
            'playbackConfig': {'speed': 1},
            'layout': _row([_column([name for name, _ in column]) for column in filled])}


def _seen(by_type: Mapping[str, Sequence[str]]) -> list[Panel]:
    """Return what is looked at: cameras and the 3D scene."""
    images = [topic for kind in _IMAGES for topic in by_type.get(kind, ())]
    found: list[Panel] = [(f'Image!camera{at}', {'imageMode': {'imageTopic': topic}})
             for at, topic in enumerate(images[:3])]
    spatial = [topic for kind in _SPATIAL for topic in by_type.get(kind, ())]
    if spatial:
        found.append(('3D!scene', {
            'topics': {topic: {'visible': True} for topic in spatial},
            'layers': {'grid': {'layerId': 'foxglove.Grid', 'instanceId': 'grid', 'visible': True,
                                'size': 4, 'divisions': 8, 'color': '#8a939eff'}},
            'followMode': 'follow-none',
            'cameraState': {'perspective': False, 'distance': 3.0, 'phi': 0.0,
                            'thetaOffset': 0.0}}))
    return found


def _measured(by_type: Mapping[str, Sequence[str]], metrics: Sequence[str],
              deadline_ms: float | None) -> list[Panel]:
    """Return what is measured: latency, surprise, states."""
    found: list[Panel] = []
    arrays = by_type.get(METRIC, ())
    times = [(f'{topic}.values[{metrics.index(name)}]', f'{name} [ms]')
             for topic in arrays[:1] for name in _TIMES if name in metrics]
    if times:
        limit = [] if deadline_ms is None else [(f'{deadline_ms:g}', 'deadline [ms]')]
        found.append(('Plot!latency', _plot('Latency [ms]', [*times, *limit])))
    cycles = by_type.get(CYCLE, ())
    if cycles:
        topic = cycles[0]
        found += [
            ('Plot!surprise', _plot('Surprise', [
                (f'{topic}.surprise', 'surprise'),
                (f'{topic}.surprise_threshold', 'threshold')])),
            ('Plot!cost', _plot('Objective of the plan', [(f'{topic}.cost', 'cost')]))]
    states = [*((f'{topic}.status', 'status of the slot') for topic in cycles),
              *((f'{topic}.mode', 'who commands') for topic in cycles),
              *((f'{topic}.episode', 'episode') for topic in cycles),
              *((f'{topic}.kind', 'episode events') for topic in by_type.get(EVENT, ()))]
    if states:
        found.append(('StateTransitions!states', {
            'foxglovePanelTitle': 'States', 'isSynced': True,
            'paths': [{'value': path, 'label': text, 'timestampMethod': 'receiveTime'}
                      for path, text in states]}))
    return found


def _values(by_type: Mapping[str, Sequence[str]], joints: Mapping[str, int]) -> list[Panel]:
    """Return plots of what sensors say and what is commanded, one a topic."""
    found: list[Panel] = []
    for kind, fields in _PLOTTED.items():
        for topic in by_type.get(kind, ()):
            lines = _lines(topic, fields, joints.get(topic, 1))
            found.append((f'Plot!{topic.strip("/")}', _plot(topic, lines)))
    return found[:6]


def _lines(topic: str, fields: Sequence[str], joints: int) -> list[tuple[str, str]]:
    paths = [field.format(at) if '{}' in field and '[:]' not in field else field.replace('{}', '')
             for field in fields for at in range(joints if '{}' in field else 1)]
    return [(f'{topic}.{path}', path) for path in dict.fromkeys(paths)][:_LINES]


def _raw(by_type: Mapping[str, Sequence[str]]) -> list[Panel]:
    """Return the audit record and the events as they are."""
    return [(f'RawMessages!{topic.strip("/")}', {
        'topicPath': topic, 'diffEnabled': False, 'diffMethod': 'custom', 'diffTopicPath': '',
        'showFullMessageForDiff': False}) for kind in (CYCLE, EVENT)
        for topic in by_type.get(kind, ())]


def _plot(title: str, lines: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {'title': title, 'foxglovePanelTitle': title,
            'paths': [{'value': path, 'label': text, 'enabled': True,
                       'timestampMethod': 'receiveTime'} for path, text in lines],
            'showXAxisLabels': True, 'showYAxisLabels': True, 'showLegend': True,
            'legendDisplay': 'floating', 'showPlotValuesInLegend': True, 'isSynced': True,
            'xAxisVal': 'timestamp', 'sidebarDimension': 240}


def _column(names: Sequence[str]) -> Any:
    return _split(list(names), 'column')


def _row(columns: Sequence[Any]) -> Any:
    return _split(list(columns), 'row')


def _split(parts: list[Any], direction: str) -> Any:
    """Share a row or column equally; the format knows only halves, so they nest."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return {'direction': direction, 'first': parts[0],
            'second': _split(parts[1:], direction), 'splitPercentage': round(100 / len(parts), 2)}
