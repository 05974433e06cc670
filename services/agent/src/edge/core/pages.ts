/**
 * The pages that the edge itself answers. They name no tenant: a stranger learns nothing from them.
 * They are put between single quotes into haproxy.cfg, so none may hold a quote, a backslash or a line end.
 */
const page = (title: string, text: string): string =>
  `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>` +
  `<style>body{font:17px/1.5 system-ui,sans-serif;max-width:34em;margin:18vh auto;padding:0 1em}</style>` +
  `<h1>${title}</h1><p>${text}</p>`;

export const PAGES = {
  unknownHost: page(
    "Nothing here",
    "No app answers to this host name. Check the address for a typing error.",
  ),
  notAllowed: page("Not from here", "This address does not answer to the network that you come from."),
  notReady: page(
    "Not ready yet",
    "The app has no instance that can answer right now. Please try again in a few seconds.",
  ),
  misdirected: page("Another name", "This connection was opened for another name. Please try again."),
  maintenance: page(
    "Down for maintenance",
    "The app is being worked on and will be back soon. Please try again in a few minutes.",
  ),
  badGateway: page("No valid answer", "The app ended the connection before it gave a complete answer."),
  timeout: page(
    "No answer in time",
    "The app was silent for longer than it may be before it answers. What was asked for may have been done all the same. " +
      "Please try again in a moment. If this is your app: its log says what it was doing, and <code>http.response-timeout</code> " +
      "in its berth.yaml says how long it may take; what takes longer than that is better done by a worker.",
  ),
  tooLarge: page("Too large", "The app takes no request of this size."),
  lengthRequired: page("Length required", "The app takes only requests that say how large they are."),
  originRefused: page("Not from there", "The app does not answer to pages of this origin."),
} as const;
