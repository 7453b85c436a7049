// Long work: how far it is, and Stop. server.job({job, stop}) -> {done, total}, or null at its end.

const PATIENCE_MS = 700; // work that takes longer is shown
const long = find('.long');
const bar = find('.progress');
let watched = null; // {job, timer} of the work that is looked at

/** A name for work that the browser asks for; nobody can guess it. */
const newJob = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

/** Ask how far a job is until `settleWatch`; once it has taken a while, show it. */
function watchOver(job, word) {
  settleWatch();
  const began = performance.now();
  const mine = { job, timer: 0 };
  watched = mine;
  const look = async () => {
    const far = await server.job({ job }).catch(() => null);
    if (watched !== mine) return;
    if (far && performance.now() - began > PATIENCE_MS) {
      const whole = far.total ? Math.round((100 * far.done) / far.total) : 0;
      long.hidden = false;
      find('.long-text').textContent = mine.stopping ? 'Stopping…' : `${word} ${whole} %`;
      bar.dataset.known = '';
      bar.setAttribute('aria-valuenow', whole);
      bar.querySelector('i').style.width = `${whole}%`;
    }
    mine.timer = setTimeout(look, 200);
  };
  mine.timer = setTimeout(look, PATIENCE_MS / 2);
}

function settleWatch() {
  if (watched) clearTimeout(watched.timer);
  watched = null;
  long.hidden = true;
  delete bar.dataset.known;
  bar.removeAttribute('aria-valuenow');
  bar.querySelector('i').style.width = 0;
}

find('.stop').addEventListener('click', () => {
  if (!watched) return;
  watched.stopping = true;
  find('.long-text').textContent = 'Stopping…';
  server.job({ job: watched.job, stop: true });
});
