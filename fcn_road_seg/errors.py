"""Errors whose message is meant for the user."""


class UserError(ValueError):
    """Bad input. The message is one sentence: what was wrong and what to do.

    The commands print it and exit with code 2; anything else that is raised is a fault of the program.
    """


class DeviceError(UserError):
    """A device, backend or precision that cannot be had; the message says what to ask for instead."""


class FrameError(UserError):
    """A frame that gets no mask, and the next one may; `reason` is the word that it is counted under."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


def first_line(error: BaseException) -> str:
    """What an exception says, without the rest of the story."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class DeviceLostError(RuntimeError):
    """The device answers no more in this process: only a new one brings it back."""
