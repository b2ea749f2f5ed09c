"""A progress bar that appears only when its command has begun: none stands above the error of a bad input."""

from rich.progress import Progress

from fcn_road_seg.cli.interrupt import uninterrupted


class LateProgress(Progress):
    """rich's bar; `start` shows it, once, when the input is known to be good."""

    def __enter__(self) -> "LateProgress":
        return self

    def start(self) -> None:
        """Show it."""
        with uninterrupted():
            super().start()

    def stop(self) -> None:
        """Stop showing it, if it was ever shown."""
        if self.live.is_started:
            with uninterrupted():
                super().stop()
