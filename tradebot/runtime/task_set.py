"""Supervised tasks: a task that fails stops the daemon. A half-dead process is worse than a dead one that is
restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

MAX_TASKS = 1_024


class TaskSet:
    """Long-running tasks of one process. Not for per-order work: the hot path uses callbacks."""

    def __init__(self, on_failure: Callable[[str, BaseException], None]) -> None:
        """`on_failure(task name, error)` is called once per failed task."""
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` until it ends, fails or is canceled. Returning normally is fine."""
        if len(self._tasks) >= MAX_TASKS:
            work.close()
            raise RuntimeError(f"more than {MAX_TASKS} tasks: something starts tasks in a loop")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def cancel_all(self) -> None:
        """Cancel what runs, newest state first, and wait until all of it has ended."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)
