// What the page's scripts and their tests are checked for.

import js from '@eslint/js';
import globals from 'globals';

const rules = { eqeqeq: 'error', 'no-var': 'error' };

export default [
  js.configs.recommended,
  {
    files: ['glow_app/ui/static/scripts/**/*.js'],
    languageOptions: { ecmaVersion: 2022, globals: globals.browser },
    rules,
  },
  {
    files: ['tests/*.js'],
    languageOptions: { ecmaVersion: 2022, globals: globals.node },
    rules,
  },
];
