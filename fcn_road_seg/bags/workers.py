"""Segment several bags at once: in processes on this machine, or as Ray tasks on a cluster."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.inference.options import SegmenterOptions

if TYPE_CHECKING:
    from fcn_road_seg.bags.segment_bag import Job, Report

SMALLEST_STORE = 80_000_000
"""Bytes that Ray demands for its objects; ours are the reports of the tasks."""

Event = Callable[[int, str, Any], None]
"""Takes the job's index, from 0, and what it reports: besides `Report`'s kinds, ("done", figures) for a job that
succeeded and ("failed", sentence) for one that did not."""


def run_here(jobs: Sequence["Job"], options: SegmenterOptions, event: Event) -> None:
    """Run one job after another, in this process, with one network."""
    from fcn_road_seg.bags.segment_bag import segment_bag
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    segmenter = RoadSegmenter.load(options)
    for i, job in enumerate(jobs):
        _report_end(partial(segment_bag, job, segmenter), partial(event, i))


def run_processes(jobs: Sequence["Job"], options: SegmenterOptions, workers: int, event: Event) -> None:
    """Run a process for each job, `workers` at a time, which share the machine's threads evenly.

    When the caller is interrupted, the processes are terminated and clean up after themselves.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(jobs))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                i, job = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_process, args=(job, options, workers, theirs))
                process.start()
                theirs.close()
                running[ours] = i, process
            ready = wait(list(running))
            for pipe in [pipe for pipe in running if pipe in ready]:
                i, process = running[pipe]
                try:
                    kind, value = pipe.recv()
                except EOFError:  # it was killed, usually because the machine ran out of memory
                    process.join()
                    kind, value = "failed", f"{jobs[i].bag}: its process exited with {process.exitcode}"
                event(i, kind, value)
                if kind in ("done", "failed"):
                    del running[pipe]
                    process.join()
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def run_ray(jobs: Sequence["Job"], options: SegmenterOptions, address: str, workers: int, event: Event) -> None:
    """Run every job as a task on a Ray cluster, whose machines find the bags and the weights under the same paths.

    Ray repeats the task of a worker that was killed, up to three times; it resumes where the worker ended.

    Args:
        address: as `ray.init` takes it: "auto", "host:port", "ray://host:port", or "local" to start one here.
        workers: number of tasks at a time on the one started here; 1 for as many as the machine has CPUs.

    Raises:
        UserError: Ray is not installed, or there is no cluster at that address.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--ray needs Ray, which is not installed: pip install 'fcn_road_seg[ray]'") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": SMALLEST_STORE}
    here["num_cpus"] = workers if workers > 1 else None
    try:
        ray.init(address=address, log_to_driver=False, **(here if address == "local" else {}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"there is no Ray cluster at {address}: {' '.join(str(error).split())}") from None
    try:
        gpus = 1 if options.device != "cpu" and ray.cluster_resources().get("GPU") else 0  # else Ray hides them
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(_task)
        for job in jobs:
            if not job.resume:
                job.log.unlink(missing_ok=True)
        running = {task.remote(replace(job, resume=True), options): i for i, job in enumerate(jobs)}
        while running:
            for done in ray.wait(list(running))[0]:
                i = running.pop(done)
                try:
                    events = ray.get(done)
                except ray.exceptions.RayError as error:
                    events = [("failed", f"{jobs[i].bag}: {' '.join(str(error).split())}")]
                for kind, value in events:
                    event(i, kind, value)
    finally:
        ray.shutdown()


def _task(job: "Job", options: SegmenterOptions) -> list[tuple[str, Any]]:
    """Run a job and return its reports; of the frames only the last one."""
    from fcn_road_seg.bags.segment_bag import segment_bag
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    events: list[tuple[str, Any]] = []
    _report_end(
        lambda report: segment_bag(job, RoadSegmenter.load(options), report), lambda *event: events.append(event)
    )
    last = [event for event in events if event[0] == "frame"][-1:]
    return [event for event in events if event[0] == "frames"] + last + [e for e in events if e[0][:5] != "frame"]


def _process(job: "Job", options: SegmenterOptions, workers: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which terminates this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that partial files are removed
    import cv2
    import torch

    from fcn_road_seg.bags.segment_bag import segment_bag
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    threads = max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0))) // workers)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    options = replace(options, threads=options.threads or threads)
    _report_end(lambda report: segment_bag(job, RoadSegmenter.load(options), report), lambda *event: pipe.send(event))


def _report_end(work: "Callable[[Report], dict[str, Any]]", report: "Report") -> None:
    """Run a job and report how it ended."""
    try:
        figures = work(report)
    except (UserError, OSError) as error:
        report("failed", str(error) if isinstance(error, UserError) else first_line(error))
    else:
        report("done", figures)
