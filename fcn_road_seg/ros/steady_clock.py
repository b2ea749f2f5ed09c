"""The clock of timers and throttled logs, which a system clock that is set back would silence."""

from rclpy.clock import Clock, ClockType

STEADY = Clock(clock_type=ClockType.STEADY_TIME)
