"""Serves overlay, mask and latency over the Foxglove WebSocket protocol. Does not import ROS.

Needs foxglove-sdk (the extra ``view``). The messages use Foxglove's own schemas, which its Image and Plot panels
support: https://docs.foxglove.dev/docs/sdk/schemas.
"""

from typing import Any

from fcn_road_seg.errors import UserError
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.latest_overlay import Overlay

BACKLOG = 8
"""Maximum number of messages queued for a slow client; the oldest is dropped first."""
LATENCY_SCHEMA = {
    "type": "object",
    "title": "road_seg.Latency",
    "properties": {
        "latency_ms": {"type": ["number", "null"], "description": "from the frame's stamp to the mask's arrival"},
        "p50_ms": {"type": ["number", "null"], "description": "over the last 10 seconds"},
        "p99_ms": {"type": ["number", "null"], "description": "over the last 10 seconds"},
        "fps": {"type": "number", "description": "masks per second"},
    },
}


class FoxgloveServer:
    """A server with the channels ``<node>/overlay`` (foxglove.CompressedImage, JPEG), ``<node>/mask``
    (foxglove.RawImage, mono8) and ``<node>/latency`` (JSON, once per mask); log times are the frames' stamps.

    Args:
        node: fully qualified name.
        host: address to listen on.
        port: 0 for any free port.

    Raises:
        ImportError: foxglove-sdk is not installed.
        UserError: the port is in use, or the address does not belong to this machine.
    """

    def __init__(self, node: str, host: str, port: int):
        import foxglove
        from foxglove.channels import CompressedImageChannel, RawImageChannel

        self._context = context = foxglove.Context()  # keeps the channels alive
        try:
            self._server = foxglove.start_server(
                name=f"road_seg view {node}", host=host, port=port, context=context, message_backlog_size=BACKLOG
            )
        except RuntimeError as error:
            reason = str(error).rpartition(": ")[2]
            raise UserError(
                f"cannot serve Foxglove on port {port} of {host}: {reason}; choose another port with --foxglove-port"
            ) from None
        self.port: int = self._server.port
        self._overlay = CompressedImageChannel(f"{node}/overlay", context=context)
        self._mask = RawImageChannel(f"{node}/mask", context=context)
        self._latency = foxglove.Channel(f"{node}/latency", schema=LATENCY_SCHEMA, context=context)

    def wants_overlay(self) -> bool:
        """Whether a client is subscribed to the overlay."""
        return self._overlay.has_sinks()

    def send_overlay(self, overlay: Overlay) -> None:
        """Send an overlay."""
        from foxglove.messages import CompressedImage

        message = CompressedImage(
            timestamp=timestamp(overlay.stamp), frame_id=overlay.frame_id, data=overlay.jpeg, format="jpeg"
        )
        self._overlay.log(message, log_time=overlay.stamp)

    def send_mask(self, stamp: int, image: Any) -> None:
        """Send a mask if a client is subscribed.

        Args:
            stamp: of the image, in nanoseconds.
            image: a sensor_msgs/Image, or an object with its fields.
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

    def send_latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """Send a mask's latency, in seconds, and the current figures if a client is subscribed."""
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
        """Disconnect all clients and stop."""
        self._server.stop()


def timestamp(stamp: int) -> Any:
    """Nanoseconds as a Foxglove timestamp."""
    from foxglove.messages import Timestamp

    return Timestamp(*divmod(stamp, 1_000_000_000))
