// Long work: how far it is, and Stop. server.job({job, stop}) -> {done, total}, or null at its end.

import { on, within } from './dom.js';

const PATIENCE_MS = 700; // work that takes longer is shown
const LOOK_MS = 200; // between two looks at how far it is

/** A name for work that the browser asks for; nobody can guess it. */
export const newJob = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

/**
 * The bar of a component's long work. Events go on beside each other, each with a bar of its own;
 * the newest is the one that shows.
 */
export class LongWork {
  running = new Map(); // by event: {job, word, began, far: {done, total}, stopping}

  constructor({ element, server, trigger, upload, limits }) {
    Object.assign(this, { server, trigger, upload, limits, parts: within(element).parts });
    on(this.parts.stop, 'click', () => this.stop());
  }

  /**
   * Show how far the job of an event is until `end(event)`, once it has taken a while.
   * Without a job the caller counts in `far` of what this returns.
   */
  begin(event, word, job = null) {
    const mine = { job, word, began: performance.now(), far: null, stopping: false };
    this.running.delete(event); // the newest is last
    this.running.set(event, mine);
    const look = async () => {
      if (job) mine.far = (await this.server.job({ job }).catch(() => null)) ?? mine.far;
      if (this.running.get(event) !== mine) return;
      this.show();
      setTimeout(look, LOOK_MS);
    };
    setTimeout(look, PATIENCE_MS / 2);
    return mine;
  }

  /** An event has ended; others may go on. */
  end(event) {
    this.running.delete(event);
    this.show();
  }

  /** The work that shows, if any. */
  get shown() {
    const late = ({ far, began }) => far && performance.now() - began > PATIENCE_MS;
    return [...this.running.values()].findLast(late);
  }

  show() {
    const { long, longText, progress } = this.parts;
    const mine = this.shown;
    const whole = mine?.far.total ? Math.round((100 * mine.far.done) / mine.far.total) : 0;
    long.hidden = !mine;
    progress.toggleAttribute('data-known', Boolean(mine));
    progress.ariaValueNow = mine ? whole : null;
    progress.firstElementChild.style.width = `${whole}%`;
    if (mine) longText.textContent = mine.stopping ? 'Stopping…' : `${mine.word} ${whole} %`;
  }

  stop() {
    const mine = this.shown;
    if (!mine) return;
    mine.stopping = true;
    this.show();
    if (mine.job) this.server.job({ job: mine.job, stop: true });
  }

  /**
   * Upload photos (or other files), then trigger the event {paths, job} with those that arrived.
   * Returns whether there were any.
   */
  async send(event, files) {
    const paths = await this.uploadAll(event, files);
    if (!paths.length) return false;
    const job = newJob();
    this.begin(event, 'Finding faces', job);
    this.trigger(event, { paths, job });
    return true;
  }

  /** Upload files. Those that cannot be are named and left out; after Stop all are. */
  async uploadAll(event, files) {
    const mine = this.begin(event, 'Uploading');
    mine.far = { done: 0, total: files.length };
    const [paths, wrong] = [[], []];
    for (const file of files) {
      if (mine.stopping) break;
      const refused = refusal(file, this.limits.upload_mb, file.name);
      const sent = !refused && (await this.upload(file).catch(() => null));
      if (sent) paths.push(sent.path);
      else wrong.push(refused || `${file.name} did not arrive.`);
      mine.far.done += 1;
    }
    this.end(event);
    if (mine.stopping) return [];
    if (wrong.length)
      this.trigger('error', `${paths.length ? 'Left out: ' : ''}${wrong.slice(0, 3).join(' ')}`);
    return paths;
  }
}

/** Why a file cannot be uploaded, in a sentence; '' where it can. */
export function refusal(file, mostMb, name = 'This file') {
  if (file.size > mostMb * 1e6) return `${name} is larger than ${mostMb} MB.`;
  return file.size ? '' : `${name} is empty.`;
}
