// Asking Python, and reading what it answers.

/** Latest wins: while `work(wish)` is under way only the newest wish is remembered. */
export class LatestWins {
  busy = false;
  waiting = null; // {wish}

  constructor(work, atRest = () => {}) {
    Object.assign(this, { work, atRest });
  }

  async want(wish) {
    this.waiting = { wish };
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.waiting) {
        const { wish: now } = this.waiting;
        this.waiting = null;
        await this.work(now);
      }
    } finally {
      this.busy = false;
    }
    this.atRest();
  }

  /** Drop the wish that waits. */
  forget() {
    this.waiting = null;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Call `call()` until Python answers. While it is busy or out of reach, tell `waits(answer)` and
 * ask again, ever more seldom, until it answers or `wanted()` is false.
 */
export async function retryWhileBusy(call, wanted, waits = () => {}) {
  for (let ms = 500; ; ms = Math.min(2 * ms, 8000)) {
    const answer = await call().catch(() => null);
    if ((answer && !answer.busy) || !wanted()) return answer;
    waits(answer);
    for (let left = ms; left > 0 && wanted(); left -= 100) await pause(100);
    if (!wanted()) return answer;
  }
}

/** Bytes from base64. */
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** A whole object from Python; its arrays {f32, shape} become a Float32Array each. */
export const unpack = (value) =>
  JSON.parse(JSON.stringify(value), (_, item) =>
    typeof item?.f32 === 'string' ? new Float32Array(bytesOf(item.f32).buffer) : item,
  );
