// Long work: how far it is, and Stop. server.job({job, stop}) -> {done, total}, or null at its end.
// Events go on beside each other, each with a bar of its own; the newest is the one that shows.

const PATIENCE_MS = 700; // work that takes longer is shown
const long = find('.long');
const bar = find('.progress');
const watched = new Map(); // by the event: {job, word, began, far: {done, total}, stopping}

/** A name for work that the browser asks for; nobody can guess it. */
const newJob = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

/** Show how far an event's job is until `settleWatch`, once it has taken a while. Without a job the
 * caller counts in `far` of what this returns. */
function watchOver(event, word, job = null) {
  const mine = { job, word, began: performance.now(), far: null, stopping: false };
  watched.delete(event); // the newest is last
  watched.set(event, mine);
  const look = async () => {
    if (job) mine.far = (await server.job({ job }).catch(() => null)) ?? mine.far;
    if (watched.get(event) !== mine) return;
    showWatch();
    setTimeout(look, 200);
  };
  setTimeout(look, PATIENCE_MS / 2);
  return mine;
}

/** An event has ended, others may go on. */
function settleWatch(event) {
  watched.delete(event);
  showWatch();
}

const late = (one) => one.far && performance.now() - one.began > PATIENCE_MS;
const seen = () => [...watched.values()].filter(late).at(-1);

function showWatch() {
  const mine = seen();
  long.hidden = !mine;
  const whole = mine && mine.far.total ? Math.round((100 * mine.far.done) / mine.far.total) : 0;
  bar.querySelector('i').style.width = `${whole}%`;
  if (!mine) {
    delete bar.dataset.known;
    bar.removeAttribute('aria-valuenow');
    return;
  }
  find('.long-text').textContent = mine.stopping ? 'Stopping…' : `${mine.word} ${whole} %`;
  bar.dataset.known = '';
  bar.setAttribute('aria-valuenow', whole);
}

find('.stop').addEventListener('click', () => {
  const mine = seen();
  if (!mine) return;
  mine.stopping = true;
  showWatch();
  if (mine.job) server.job({ job: mine.job, stop: true });
});

/** Upload files for an event, one after the other. Those that cannot be are named and left out.
 * Returns their paths; none also after Stop. */
async function uploadAll(event, files) {
  const mine = watchOver(event, 'Uploading');
  mine.far = { done: 0, total: files.length };
  const [paths, wrong] = [[], []];
  for (const file of files) {
    if (mine.stopping) break;
    if (file.size > LIMITS.upload_mb * 1e6)
      wrong.push(`${file.name} is larger than ${LIMITS.upload_mb} MB.`);
    else if (!file.size) wrong.push(`${file.name} is empty.`);
    else {
      const sent = await upload(file).catch(() => null);
      if (sent) paths.push(sent.path);
      else wrong.push(`${file.name} did not arrive.`);
    }
    mine.far.done += 1;
  }
  settleWatch(event);
  if (mine.stopping) return [];
  if (wrong.length)
    trigger('error', `${paths.length ? 'Left out: ' : ''}${wrong.slice(0, 3).join(' ')}`);
  return paths;
}
