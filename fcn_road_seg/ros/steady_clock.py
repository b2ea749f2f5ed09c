"""The clock of timers and throttled logs; setting back the system clock would silence them."""

from rclpy.clock import Clock, ClockType

STEADY = Clock(clock_type=ClockType.STEADY_TIME)
