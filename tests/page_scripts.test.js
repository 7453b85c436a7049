// The page's scripts without a page: what needs no browser, by Node's own test runner.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Axes, faint, squareAxes, ticks } from '../glow_app/ui/static/scripts/charts.js';
import * as crops from '../glow_app/ui/static/scripts/crop.js';
import { affordableSize, nearest } from '../glow_app/ui/static/scripts/full_frames.js';
import { columnsOf } from '../glow_app/ui/static/scripts/gallery.js';
import { duration, fixed } from '../glow_app/ui/static/scripts/learn/lesson.js';
import { tiny } from '../glow_app/ui/static/scripts/learn/plane.js';
import { valueTexts } from '../glow_app/ui/static/scripts/live.js';
import { newJob, refusal } from '../glow_app/ui/static/scripts/long_work.js';
import { sizeForScreen } from '../glow_app/ui/static/scripts/pictures.js';
import { between } from '../glow_app/ui/static/scripts/player.js';
import { extent, points } from '../glow_app/ui/static/scripts/plot.js';
import { LatestWins, retryWhileBusy, unpack } from '../glow_app/ui/static/scripts/requests.js';

const { cropOfEyes, eyesOf, isNear, limited, pinched } = crops;
const close = (a, b, by = 1e-9) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b}`);

// ---- asking Python ------------------------------------------------------------------------

test('of the wishes that wait only the newest is worked on, also after a failure', async () => {
  const done = [];
  let rested = 0;
  const gate = Promise.withResolvers();
  const work = async (wish) => {
    if (wish === 'bad') throw new Error('no');
    if (wish === 1) await gate.promise;
    done.push(wish);
  };
  const pump = new LatestWins(work, () => (rested += 1));
  await assert.rejects(pump.want('bad'));
  const all = pump.want(1);
  pump.want(2);
  pump.want(3);
  assert.deepEqual(done, []);
  gate.resolve();
  await all;
  assert.deepEqual([done, rested], [[1, 3], 1]);
  const last = pump.want('a');
  pump.want('b');
  pump.forget();
  await last;
  assert.deepEqual(done, [1, 3, 'a']);
});

test('a busy server is asked again, and only while somebody wants it', async () => {
  const answers = [{ busy: true, error: 'busy' }, { value: 1 }];
  const told = [];
  const call = async () => answers.shift();
  const tell = ({ error }) => told.push(error);
  const answer = await retryWhileBusy(call, () => true, tell);
  assert.deepEqual([answer, told], [{ value: 1 }, ['busy']]);
  let calls = 0;
  const fail = async () => {
    calls += 1;
    throw new Error('out of reach');
  };
  assert.deepEqual([await retryWhileBusy(fail, () => calls < 1), calls], [null, 1]);
});

test('arrays inside of an answer become numbers, infinities too', () => {
  const data = Buffer.from(new Float32Array([1.5, -Infinity]).buffer).toString('base64');
  const { list, rest } = unpack({ list: [{ f32: data, shape: [2] }], rest: null });
  assert.deepEqual([...list[0]], [1.5, -Infinity]);
  assert.equal(rest, null);
});

// ---- uploads ------------------------------------------------------------------------------

test('a file that is too large or empty is refused in a sentence', () => {
  assert.equal(refusal({ size: 20e6 }, 20), '');
  assert.equal(refusal({ size: 20e6 + 1 }, 20), 'This file is larger than 20 MB.');
  assert.equal(refusal({ size: 0 }, 20, 'a.jpg'), 'a.jpg is empty.');
});

test('names of jobs are long and differ', () => {
  const names = new Set(Array.from({ length: 100 }, newJob));
  assert.equal(names.size, 100);
  for (const name of names) assert.ok(name.length >= 16 && name.length <= 64, name);
});

// ---- the player ---------------------------------------------------------------------------

test('between two frames a measurement is on the straight line; a loop goes round', () => {
  const row = [0, 10, 30];
  assert.equal(between(row, 0, false), 0);
  assert.equal(between(row, 1.5, false), 20);
  assert.equal(between(row, 2, false), 30);
  close(between(row, 2.5, true), 15);
  assert.ok(Number.isNaN(between([NaN, 1], 0.5, false)));
});

test('a curve leaves out what is not known and closes in a loop', () => {
  assert.deepEqual(points([1, null, 3], false), [[0, 2], [1, 3]]); // prettier-ignore
  assert.deepEqual(points([1, 2], true), [[0, 1, 2], [1, 2, 1]]); // prettier-ignore
  close(extent([1, 1.1], 0.5)[0], 0.8);
  close(extent([1, 1.1], 0.5)[1], 1.3);
  assert.deepEqual(extent([0, 2], 0.5), [0, 2]);
});

test('full size is what the screen shows and the memory holds', () => {
  globalThis.devicePixelRatio = 1;
  assert.equal(sizeForScreen([512, 1024]), 512);
  assert.equal(affordableSize([512, 1024], 33), 512);
  globalThis.devicePixelRatio = 2;
  assert.equal(sizeForScreen([512, 1024]), 1024);
  assert.equal(affordableSize([512, 1024], 33), 1024);
  assert.equal(affordableSize([512, 1024], 129), 512); // 129 of 1024 are more than 160 MB
  assert.equal(affordableSize([1024], 400), 1024); // nothing smaller is offered
});

test('the frames nearest to the slider come first', () => {
  assert.deepEqual(nearest(new Set([0, 5, 6, 7, 30]), 6.2, 3), [6, 7, 5]);
});

// ---- sliders and galleries ----------------------------------------------------------------

test('a slider says its value in its unit, with a true minus sign', () => {
  for (const [value, slider, text, spoken] of [
    [-3.5, { step: 0.5, unit: 'degrees' }, '−3.5°', '-3.5 degrees'],
    [12, { step: 1, unit: 'years' }, '+12 years', '12 years'],
    [0, { step: 0.05, unit: '' }, '0.00', '0.00'],
    [0.25, { step: 0.01, percent: true }, '25 %', '25 percent'],
  ])
    assert.deepEqual(valueTexts(value, slider), { text, spoken });
});

test('faces stand in rows that come out even', () => {
  for (const [n, asked, onPhone, columns] of [
    [12, null, false, 6],
    [16, null, false, 8],
    [13, null, false, 6],
    [12, null, true, 4],
    [12, 8, true, 8],
    [48, 12, true, 4], // too many for a phone
    [48, 12, false, 12],
  ])
    assert.equal(columnsOf(n, asked, onPhone), columns);
});

// ---- the crop -----------------------------------------------------------------------------

const bounds = { width: 1, height: 0.75, smallest: 0.05, largest: 2 };
const eyes = { apart: 0.4, below: 0.21 };

test('a crop stays on the photo and within its sizes', () => {
  const inside = { x: 0, y: 0.75, side: 2, turn: 270 };
  assert.deepEqual(limited({ x: -1, y: 9, side: 5, turn: -90 }, bounds), inside);
  const crop = { x: 0, y: 0, side: 1, turn: 0 };
  assert.ok(isNear({ ...crop, turn: 359.5 }, crop));
  assert.ok(!isNear({ ...crop, turn: 5 }, crop));
});

test('the crop of the eyes of a crop is that crop, whichever eye comes first', () => {
  for (const turn of [0, 12, 340]) {
    const crop = { x: 0.4, y: 0.3, side: 0.5, turn };
    const pair = eyesOf(crop, eyes);
    for (const points of [pair, pair.toReversed()]) {
      const again = limited(cropOfEyes(points, eyes), bounds);
      for (const key of ['x', 'y', 'side']) close(again[key], crop[key]);
      close(again.turn, turn, 1e-6);
    }
  }
  assert.equal(cropOfEyes([[1, 1], [1, 1]], eyes), null); // prettier-ignore
});

test('two fingers size and turn a crop', () => {
  const crop = { x: 0.5, y: 0.5, side: 0.4, turn: 10 };
  const wider = pinched(crop, [0, 0], [0.1, 0], [0.2, 0]);
  close(wider.side, 0.8);
  close(wider.turn, 10);
  close(wider.x, 0.55);
  close(pinched(crop, [0, 0], [0.1, 0], [0, 0.1]).turn, 100);
});

// ---- charts and numbers -------------------------------------------------------------------

test('axes go from numbers to places and back', () => {
  const axes = new Axes(null, [10, 20, 110, 220], [0, 5], [-1, 1]);
  assert.deepEqual([axes.x(2.5), axes.y(1), axes.y(-1)], [60, 20, 220]);
  assert.deepEqual(axes.at(60, 120), [2.5, 0]);
  const log = new Axes(null, [0, 0, 100, 100], [1, 100], [1, 100], true);
  close(log.x(10), 50);
  close(log.y(10), 50);
  const square = squareAxes(null, 204, 104, 2);
  assert.deepEqual([square.x(-2), square.x(2), square.y(2)], [52, 152, 2]);
});

test('ticks are round numbers between two values', () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(-0.13, 0.32, 3), [0, 0.2]);
  assert.deepEqual(ticks(2, 3, 4), [2, 2.5, 3]);
});

test('a colour grows faint', () => {
  assert.equal(faint('#0e7c77', 0.5), 'color-mix(in srgb, #0e7c77 50%, transparent)');
});

test('numbers as people say them', () => {
  const seconds = [2.34, 0.0052, 0.25, 0.00004];
  assert.deepEqual(seconds.map(duration), ['2.3 s', '5.2 ms', '250 ms', '40 µs']);
  assert.deepEqual([0, 3.2e-7].map(tiny), ['0', '3 · 10⁻⁷']);
  assert.equal(fixed(-1.2345, 2), '−1.23');
});
