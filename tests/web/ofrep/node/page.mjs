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

window.shop = {
  events,
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
