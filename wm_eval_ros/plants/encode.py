"""Camera images, compressed."""

from __future__ import annotations

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.records import ImageSample


def compressed(image: ImageSample, encoding: str) -> bytes:
    """
    Return an image as the bytes of a file.

    :param encoding: ``jpeg`` or ``png``
    :raises MissingExtraError: OpenCV is not installed
    """
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("plant.camera_encoding: compressed images need OpenCV: "
                                "pip install 'wm_eval_ros[vision]'") from None
    # OpenCV's colour order is blue, green, red
    done, data = cv2.imencode(f'.{encoding}', image.pixels[:, :, ::-1])
    if not done:
        raise ValueError(f'OpenCV cannot encode {encoding}')
    return bytes(data)
