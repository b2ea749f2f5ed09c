"""The judge of every way of running the network: time, memory and accuracy in one run."""
