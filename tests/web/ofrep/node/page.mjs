// A page with @openfeature/ofrep-web-provider; the tests call what hangs on `window.shop`.
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const ask = {
  boolean: 'getBooleanDetails',
  string: 'getStringDetails',
  integer: 'getNumberDetails',
  float: 'getNumberDetails',
  object: 'getObjectDetails',
};

const events = [];
const heard = [];

window.shop = {
  events,
  heard,
  // A second listener at the provider's address: it hears each message, where the provider waits
  // a moment to join several into one.
  async listen(url) {
    const source = new EventSource(url);
    source.addEventListener('message', (message) => heard.push(JSON.parse(message.data)));
    await new Promise((resolve) => source.addEventListener('open', resolve, { once: true }));
  },
  async connect(baseUrl, key, context, options) {
    for (const name of Object.values(ProviderEvents)) {
      OpenFeature.addHandler(name, (details) => {
        events.push({ name, flagsChanged: details?.flagsChanged, message: details?.message });
      });
    }
    await OpenFeature.setContext(context);
    const headers = [['Authorization', `Bearer ${key}`]];
    const provider = new OFREPWebProvider({ baseUrl, headers, cacheMode: 'disabled', ...options });
    try {
      await OpenFeature.setProviderAndWait(provider);
      return 'ready';
    } catch (error) {
      return String(error);
    }
  },
  setContext: (context) => OpenFeature.setContext(context),
  status: () => OpenFeature.getClient().providerStatus,
  evaluate(kind, flag, fallback) {
    return OpenFeature.getClient()[ask[kind]](flag, fallback);
  },
};
