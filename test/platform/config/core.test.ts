import t from 'tap';
import { parseConfig } from '../../../src/platform/config/index.js';
import { CORE, complains } from './configs.js';

t.test('the smallest useful config gets its defaults', async (t) => {
  t.strictSame(parseConfig('core', 'f.yaml', CORE), {
    name: 'b1',
    switch: { address: '10.201.2.1', port: 57626 },
    discovery: { port: 57627 },
    auth: { mode: 'none' },
    offers: [
      { address: '10.201.3.2', port: 8080 },
      { address: 'fd00:201:3::2', port: 8080 },
    ],
    log: { level: 'info' },
    calls: 'any',
  });
});

t.test('what is wrong is named with its place, what was found and what is expected', async (t) => {
  complains(t, 'core', 'offers:', [
    ['deliver: 127.0.0.1:80\noffers:', 'link: found nothing, expected a mapping with listen'],
    [
      'link: { listen: 10.201.3.2:57628, auth: { mode: none } }\noffers:',
      'deliver: found nothing, expected ADDRESS:PORT of a local server, since there is a link',
    ],
    [
      'deliver: 10.201.3.2:8080\nlink: { listen: 10.201.3.2:57628, auth: { mode: none } }\noffers:',
      'deliver: found "10.201.3.2:8080", expected an endpoint that is not offered',
    ],
    [
      'deliver: 127.0.0.1:80\nlink: { listen: 10.201.3.2:8080, auth: { mode: none } }\noffers:',
      'link.listen: found "10.201.3.2:8080", expected an endpoint that is not offered',
    ],
    [
      'deliver: 127.0.0.1:80\nlink: { listen: 10.201.3.2:9, auth: { mode: none }, move: { after: {} } }\noffers:',
      'link.move.after: found a mapping, expected at least one of bytes, age',
    ],
    ['offer:', 'offers: found nothing, expected a list of endpoints'],
  ]);
  complains(t, 'core', '10.201.3.2:8080,', [
    [
      '10.201.3.2:8080, 10.201.3.2:8080,',
      'offers[1]: found "10.201.3.2:8080", expected an endpoint that is offered once',
    ],
  ]);
  complains(t, 'core', '[10.201.3.2:8080, "[fd00:201:3::2]:8080"]', [
    [
      '[]',
      'offers: found an empty list, expected a list of at least one endpoint (of none only where calls is written out)',
    ],
    [
      '[]\ncalls: []',
      'calls: found an empty list, expected any or a list of at least one endpoint, since offers is empty',
    ],
  ]);
  complains(t, 'core', 'name: b1', [
    ['name: b1\ncalls: all', 'calls: found "all", expected any, or a list of shells\' endpoints'],
    ['name: b1\ncalls: [a]', 'calls[0]: found "a", expected ADDRESS:PORT'],
  ]);
});
