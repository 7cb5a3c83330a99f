// A backend with @openfeature/ofrep-provider: questions and answers are lines of JSON.
import readline from 'node:readline';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const ask = {
  boolean: 'getBooleanDetails',
  string: 'getStringDetails',
  integer: 'getNumberDetails',
  float: 'getNumberDetails',
  object: 'getObjectDetails',
};

async function answer(question) {
  if (question.do === 'connect') {
    const headers = [['Authorization', `Bearer ${question.key}`]];
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: question.url, headers }));
    return { connected: true };
  }
  const client = OpenFeature.getClient();
  return client[ask[question.kind]](question.flag, question.default, question.context);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error) }));
  }
}
