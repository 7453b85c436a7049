"""Many visitors of one page at once; each must get the right answer or an error of the queue."""

from __future__ import annotations

import io
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError
from PIL import Image

from benchmarks.faults import Row
from benchmarks.faults.hostile import encoded
from benchmarks.faults.visitor import Visitor
from glow_app.common import cli
from glow_app.ui.page_faces import example_files

MAX_GROWTH: Final = 0.10  # of memory, from before to after
MAX_VISITOR_MIB: Final = 30.0  # of memory, with two sharp photos and their morph
MAX_HEALTH_S: Final = 0.200  # at the 95th percentile
_ROOT: Final = Path(__file__).resolve().parents[2]
_ROUNDING: Final = 2  # levels by which a picture may differ from itself in another batch
_SEEDS: Final = 8  # faces that visitors ask for
_QUIET_S: Final = 5.0  # after which the page has given back memory that it does not use
_SETTLE_S: Final = 20.0  # after the last request until memory is measured
_RETRY_S: Final = (0.5, 2.0)  # before another try when the queue is full


class _Answer(NamedTuple):
    """How one request ended: after how long, whether the queue was full, and what was wrong."""

    seconds: float
    full: bool
    wrong: str | None


class _User:
    """A visitor with a photo of their own, and what the page makes of it without load."""

    def __init__(self, url: str, number: int, faces: list[np.ndarray], levels: int) -> None:
        self.number, self.faces, self.levels = number, faces, levels
        self.visitor = Visitor(url)
        self.random = random.Random(number)
        self.photo, self.other = (
            self.visitor.upload("photo.jpg", sharp_photo(n)) for n in (2 * number, 2 * number + 1)
        )
        self.own, self.large = self._mixed(64), self._mixed(256)

    def _mixed(self, size: int) -> np.ndarray:
        """Mix the photo with itself at weight 0, so that the photo itself comes back."""
        weights = [0] * self.levels
        made, _ = self.visitor.call("mix", self.photo, self.photo, weights, size, None)
        return self._pixels(made)

    def _pixels(self, made: dict[str, Any]) -> np.ndarray:
        return _pixels(self.visitor.file(made))

    def come(self) -> None:
        """Put both photos on the page and morph them, again until the queue takes it."""
        for part, event, said in (
            ("photo-a", "photo", {"path": self.photo["path"]}),
            ("photo-b", "photo", {"path": self.other["path"]}),
            ("make-morph", "click", {}),
        ):
            while True:
                try:
                    self.visitor.press(part, event, **said)
                    break
                except QueueError:
                    time.sleep(self.random.uniform(*_RETRY_S))

    def ask(self) -> str | None:
        """Make one random request and return what was wrong with the answer, or None."""
        kind = self.random.choice(("mix", "edit", "sample", "morph"))
        wanted = self.own
        if kind == "mix":
            got = self._mixed(64)
        elif kind == "edit":
            got = self._pixels(self.visitor.call("edit", self.photo, {}, 0, 64)[0])
        elif kind == "sample":
            seed = self.random.randrange(_SEEDS)
            ((made,),) = self.visitor.call("sample", 1, 0.7, seed)
            got, wanted = self._pixels(made), self.faces[seed]
        else:
            how = (5, "linear", "png", 256, 0, 1, False, 25, False, "switch", None, False)
            made, facts = self.visitor.call("morph", self.photo, self.other, *how)
            got, wanted = self._pixels(made), self.large
            if facts["frames"] != 5:
                return f"{facts['frames']} frames"
        off = int(np.abs(got.astype(int) - wanted).max()) if got.shape == wanted.shape else 255
        return None if off <= _ROUNDING else f"/{kind} of visitor {self.number}: {off} levels off"

    def visit(self, until: float) -> list[_Answer]:
        """Make requests until then and return how each ended."""
        answers = []
        while (began := time.monotonic()) < until:
            full, wrong = False, None
            try:
                wrong = self.ask()
            except QueueError:
                full = True
            except (AppError, httpx.HTTPError, ValueError, KeyError, OSError) as error:
                wrong = f"visitor {self.number}: {error!r}"
            answers.append(_Answer(time.monotonic() - began, full, wrong))
            if full:
                time.sleep(self.random.uniform(*_RETRY_S))
        return answers


def under_load(folder: Path, users: int, seconds: float, checkpoint: str | None) -> list[Row]:
    """Let ``users`` visitors use the API of one page at once, and return rows for the table.

    Args:
        folder: for the temporary files of the page and for its log.
        checkpoint: of the page; None for the released weights.
    """
    with serving(folder, checkpoint) as (url, pid):
        first = Visitor(url)
        samples = [first.call("sample", 1, 0.7, seed)[0][0] for seed in range(_SEEDS)]
        faces = [_pixels(first.file(made)) for made in samples]
        levels = _levels(first, samples[0])
        people = [_User(url, number, faces, levels) for number in range(users)]
        with _connection(url) as http:
            alone = [_health_time(http) for _ in range(40)]
        # Half of them, at once as well, load what all share and set up the page's threads.
        half = (users + 1) // 2
        memory_mib = []
        with ThreadPoolExecutor(users) as pool:
            for some in (people[:half], people[half:]):
                list(pool.map(_User.come, some))
                time.sleep(_QUIET_S)
                memory_mib.append(_memory_mib(pid))
        each = (memory_mib[1] - memory_mib[0]) / max(users - half, 1)
        _crowd(url, people, min(60.0, seconds / 2))  # fills the caches
        time.sleep(_SETTLE_S / 2)
        before = _memory_mib(pid)
        answers, health_s = _crowd(url, people, seconds)
        time.sleep(_SETTLE_S)
        after = _memory_mib(pid)
        strangers = _seen_by_strangers(people, url)
        files = [path for path in (folder / "temporary").rglob("*") if path.is_file()]
    waits = [answer.seconds for answer in answers if not answer.full]
    wrong = [answer.wrong for answer in answers if answer.wrong is not None]
    for line in [*wrong, *strangers][:20]:
        cli.say(line)
    crowd = Row(f"Load: requests of {users} visitors in {seconds:.0f} s")
    crowd.tried, crowd.survived = len(answers), len(answers) - len(wrong)
    full = len(answers) - len(waits)
    crowd.seen = {"right": crowd.survived - full, "told that the queue is full": full}
    if waits:
        crowd.seen["median wait, s"] = float(np.median(waits))
    private = Row("Load: files of visitors asked for by others")
    private.count(not strangers, users)
    kept = Row("Load: memory of each visitor with two sharp photos and their morph")
    kept.count(each <= MAX_VISITOR_MIB)
    kept.seen = {"each, MiB": each}
    memory = Row("Load: memory after as before, within 10 %")
    memory.count(after <= before * (1 + MAX_GROWTH))
    memory.seen = {"before, MiB": before, "after, MiB": after}
    health = Row("Load: GET /health within 200 ms at the 95th percentile")
    p95 = float(np.percentile(health_s, 95))
    health.count(p95 <= MAX_HEALTH_S)
    health.seen = {
        "requests": len(health_s),
        "p50, ms": 1000 * float(np.median(health_s)),
        "p95, ms": 1000 * p95,
        "p95 without load, ms": 1000 * float(np.percentile(alone, 95)),
    }
    gone = Row("Load: temporary files gone with the page")
    gone.count(not any(path.exists() for path in files), len(files))
    return [crowd, private, kept, memory, health, gone]


def sharp_photo(number: int) -> bytes:
    """Return a JPEG of 12 megapixels with a face of 1,200 pixels; each number has another one."""
    files, random_ = example_files(), np.random.default_rng(number)
    with Image.open(files[number % len(files)]) as example:
        face = example.convert("RGB").resize((1200, 1200), Image.Resampling.BICUBIC)
    whole = Image.new("RGB", (4000, 3000), tuple(random_.integers(60, 200, 3).tolist()))
    whole.paste(face, tuple(random_.integers((200, 200), (2600, 1600)).tolist()))
    grain = random_.normal(0, 4, (300, 400, 1)).repeat(10, axis=0).repeat(10, axis=1)
    return encoded(Image.fromarray((np.asarray(whole) + grain).clip(0, 255).astype("u1")), "JPEG")


@contextmanager
def serving(folder: Path, checkpoint: str | None = None) -> Iterator[tuple[str, int]]:
    """Run app.py in a process of its own; yield the address of the page and the process number."""
    (folder / "temporary").mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, str(_ROOT / "app.py"), "--device", "cpu", "--port", str(port)]
    if checkpoint is not None:
        command += ["--checkpoint", checkpoint]
    environment = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    environment["TMPDIR"] = str(folder / "temporary")
    with open(folder / "page.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=_ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the page did not start: {(folder / 'page.log').read_text()}")
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _crowd(url: str, people: list[_User], seconds: float) -> tuple[list[_Answer], list[float]]:
    """Let everybody ask at once; return all answers and the seconds of each GET /health."""
    until, health_s = time.monotonic() + seconds, []
    with ThreadPoolExecutor(len(people)) as pool, _connection(url) as http:
        visits = [pool.submit(one.visit, until) for one in people]
        while time.monotonic() < until:
            health_s.append(_health_time(http))
            time.sleep(0.1)
        return [answer for visit in visits for answer in visit.result()], health_s


def _seen_by_strangers(people: list[_User], url: str) -> list[str]:
    """Return a line for each way to get at a photo of somebody else."""
    seen = []
    with _connection(url) as http:
        for user in people:
            path = Path(user.photo["path"])
            guesses = [path.parent, path.parents[1], path.parents[1] / "photo.jpg"]
            seen += [
                f"{guess.name} is served to anybody"
                for guess in guesses
                if http.get(f"/gradio_api/file={guess}").status_code == 200
            ]
    places = {user.photo["path"] for user in people}
    if len(places) < len(people):
        seen.append("two visitors share a file")
    return seen


def _levels(visitor: Visitor, face: dict) -> int:
    """Return the number of levels of the model, which is in the error of /mix for another one."""
    try:
        visitor.call("mix", face, face, [], 64, None)
    except AppError as refusal:
        return int(next(word for word in str(refusal).split() if word.isdigit()))
    raise RuntimeError("a mix of no levels was made")


def _connection(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, trust_env=False)


def _health_time(http: httpx.Client) -> float:
    began = time.monotonic()
    http.get("/health").raise_for_status()
    return time.monotonic() - began


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _memory_mib(pid: int) -> float:
    """Return the resident memory of a process; Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _pixels(data: bytes) -> np.ndarray:
    """Return the first frame (S, S, 3) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
