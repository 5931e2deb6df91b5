// All tests in one process, so that they share one browser.
import "./parser.test.mjs";
import "./eventsource.test.mjs";
import "./page.test.mjs";
import "./access.test.mjs";
import "./tls.test.mjs";
