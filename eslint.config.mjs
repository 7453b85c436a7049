// What the page's scripts are checked for. Each is part of a longer one: Gradio makes one function
// of the files that a component names (components/templates.py), so some names come from others.

import { readFileSync } from 'node:fs';

import js from '@eslint/js';
import globals from 'globals';

const PAGE = new URL('./glow_app/ui/', import.meta.url);
const COMPONENTS = ['kit', 'board', 'long_work', 'plot', 'full', 'player', 'crop', 'crop_eyes'];
const SHARED = [...COMPONENTS.map((name) => `components/${name}`), 'tabs/learn/lesson'];
const GRADIO = ['element', 'props', 'server', 'trigger', 'upload', 'watch'];
const FILLED_IN = ['limits']; // [[limits]], by assets.py

const shared = SHARED.flatMap((name) => {
  const text = readFileSync(new URL(`${name}.js`, PAGE), 'utf8');
  const top = text.matchAll(/^(?:async )?(?:function\*?|const|let|class) (\w+|[[{].*?[\]}])/gm);
  return [...top].flatMap(([, names]) => names.match(/\w+/g));
});
const names = [...GRADIO, ...FILLED_IN, ...shared].map((name) => [name, 'readonly']);

export default [
  js.configs.recommended,
  {
    files: ['glow_app/ui/**/*.js'],
    languageOptions: {
      sourceType: 'script',
      ecmaVersion: 2022,
      globals: { ...globals.browser, ...Object.fromEntries(names) },
    },
    rules: {
      eqeqeq: 'error',
      'no-unused-vars': ['error', { vars: 'local' }], // others may use what stands at the top
      'no-redeclare': ['error', { builtinGlobals: false }],
      'no-global-assign': 'off', // a file's own names at the top, which others share
      'no-var': 'error',
    },
  },
];
