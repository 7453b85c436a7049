// What the page's scripts are checked for.

import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  {
    files: ['glow_app/ui/static/scripts/**/*.js'],
    languageOptions: { sourceType: 'module', ecmaVersion: 2022, globals: globals.browser },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
    },
  },
];
