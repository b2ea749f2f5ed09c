"""Serves overlay, mask and latency over the Foxglove WebSocket protocol. No ROS here.

Needs foxglove-sdk (the extra ``view``). The messages are Foxglove's own, which its Image and Plot panels show as they
are: https://docs.foxglove.dev/docs/sdk/schemas.
"""

from typing import Any

from fcn_road_seg.errors import UserError
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.latest_overlay import Picture

BACKLOG = 8
"""Messages that wait for a slow client; then the oldest goes."""
LATENCY_SCHEMA = {
    "type": "object",
    "title": "road_seg.Latency",
    "properties": {
        "latency_ms": {"type": ["number", "null"], "description": "from the frame's stamp to this mask's arrival"},
        "p50_ms": {"type": ["number", "null"], "description": "of the last 10 seconds"},
        "p99_ms": {"type": ["number", "null"], "description": "of the last 10 seconds"},
        "fps": {"type": "number", "description": "masks per second"},
    },
}


class FoxgloveServer:
    """A server with the channels ``<node>/overlay`` (foxglove.CompressedImage, JPEG), ``<node>/mask``
    (foxglove.RawImage, mono8) and ``<node>/latency`` (JSON, once a mask); times are the frames' stamps.

    Args:
        node: fully qualified name.
        host: address to listen on.
        port: 0 for any that is free.

    Raises:
        ImportError: foxglove-sdk is not installed.
        UserError: the port is taken, or the address is not this machine's.
    """

    def __init__(self, node: str, host: str, port: int):
        import foxglove
        from foxglove.channels import CompressedImageChannel, RawImageChannel

        self._context = context = foxglove.Context()  # channels live as long as it does
        try:
            self._server = foxglove.start_server(
                name=f"road_seg view {node}", host=host, port=port, context=context, message_backlog_size=BACKLOG
            )
        except RuntimeError as error:
            reason = str(error).rpartition(": ")[2]
            raise UserError(
                f"Foxglove cannot be served on port {port} of {host}: {reason}; choose another with --foxglove-port"
            ) from None
        self.port: int = self._server.port
        self._overlay = CompressedImageChannel(f"{node}/overlay", context=context)
        self._mask = RawImageChannel(f"{node}/mask", context=context)
        self._latency = foxglove.Channel(f"{node}/latency", schema=LATENCY_SCHEMA, context=context)

    def wants_overlay(self) -> bool:
        """Whether a client is subscribed to the overlay."""
        return self._overlay.has_sinks()

    def overlay(self, picture: Picture) -> None:
        """Send an overlay."""
        from foxglove.messages import CompressedImage

        message = CompressedImage(
            timestamp=timestamp(picture.stamp), frame_id=picture.frame_id, data=picture.jpeg, format="jpeg"
        )
        self._overlay.log(message, log_time=picture.stamp)

    def mask(self, stamp: int, image: Any) -> None:
        """Send a mask, a sensor_msgs/Image (or an object with its fields), if a client is subscribed.

        Args:
            stamp: nanoseconds, the image's.
        """
        from foxglove.messages import RawImage

        if not self._mask.has_sinks():
            return
        message = RawImage(
            timestamp=timestamp(stamp),
            frame_id=image.header.frame_id,
            width=image.width,
            height=image.height,
            encoding=image.encoding,
            step=image.step,
            data=bytes(image.data),
        )
        self._mask.log(message, log_time=stamp)

    def latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """Send a mask's latency, in seconds, with the figures of the last seconds, if a client is subscribed."""
        if not self._latency.has_sinks():
            return
        now = figures.snapshot()
        message = {
            "latency_ms": latency and 1000 * latency,
            "p50_ms": now["latency_p50_ms"],
            "p99_ms": now["latency_p99_ms"],
            "fps": now["fps"],
        }
        self._latency.log(message, log_time=stamp)

    def close(self) -> None:
        """Say good-bye to all clients."""
        self._server.stop()


def timestamp(stamp: int) -> Any:
    """Foxglove's form of nanoseconds."""
    from foxglove.messages import Timestamp

    return Timestamp(*divmod(stamp, 1_000_000_000))
