import { type Operation, type Parameter, page, redirects } from './operation.ts';

const challenge = (name: string): Parameter => ({
  name,
  about: 'From the redirect that led here.',
  schema: { type: 'string', pattern: '^[A-Za-z0-9._~-]{1,4096}$' },
  required: true,
});

const formToken: Parameter = {
  name: 'token',
  about: 'Bound to the browser that was shown the form.',
  schema: { type: 'string' },
};

const action = (values: readonly string[]): Parameter => ({
  name: 'action',
  about: 'The button that was pressed.',
  schema: { type: 'string', enum: values },
});

const textField = (name: string, about: string): Parameter => ({
  name,
  about,
  schema: { type: 'string' },
});

const form = page(200, 'The form.');
const again = page(403, 'The form again: its token is not of this browser, or too old.');
const goesOn = redirects('Back to the authorization or logout endpoint, with a verifier.');

/** The two halves of a built-in page. */
function pair(
  path: string,
  name: string,
  parameter: string,
  summary: string,
  fields: readonly Parameter[],
): readonly [Operation, Operation] {
  const both = {
    path,
    listener: 'public',
    tag: 'pages',
    caller: 'anybody',
    query: [challenge(parameter)],
    refusesByPage: true,
  } as const;
  return [
    {
      ...both,
      method: 'get',
      id: `show${name}`,
      summary,
      answers: [form, goesOn],
      refusals: ['challenge_unknown'],
    },
    {
      ...both,
      method: 'post',
      id: `submit${name}`,
      summary: `${summary}: the answer`,
      body: { kind: 'form', fields: [formToken, ...fields] },
      answers: [form, goesOn, again],
      refusals: ['challenge_unknown', 'malformed_request', 'duplicate_parameter', 'rate_limited'],
    },
  ];
}

/** The built-in pages for people. */
export const pageOperations: readonly Operation[] = [
  ...pair('/ui/login', 'Login', 'login_challenge', 'Sign in', [
    textField('login', 'The email address.'),
    textField('password', 'The password.'),
    textField('remember', '`yes`: stay signed in on this device.'),
    action(['accept', 'cancel']),
  ]),
  ...pair('/ui/consent', 'Consent', 'consent_challenge', 'Allow an app', [
    {
      name: 'scope',
      about: 'What is ticked; may be given several times.',
      schema: { type: 'array', items: { type: 'string' } },
    },
    action(['accept', 'deny']),
  ]),
  ...pair('/ui/logout', 'Logout', 'logout_challenge', 'Sign out', [action(['accept', 'cancel'])]),
  ...pair('/ui/sign-up', 'SignUp', 'login_challenge', 'Create an account (GATEHOUSE_SIGN_UP)', [
    textField('login', 'The email address.'),
    textField('name', 'How to be called.'),
    textField('password', 'The password.'),
  ]),
  {
    method: 'get',
    path: '/ui/error',
    id: 'showError',
    listener: 'public',
    tag: 'pages',
    summary: 'What could not be sent to an app',
    caller: 'anybody',
    query: [
      textField('error', 'The OAuth error.'),
      textField('error_description', 'In words.'),
      textField('error_hint', 'What to do.'),
      textField('request_id', 'For support.'),
    ],
    answers: [page(400, 'The page; all that it is given is shown as text.')],
    refusals: [],
  },
];
