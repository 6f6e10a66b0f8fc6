import type { Form } from './form.ts';
import { columnForms } from './forms-column.ts';
import { constraintForms } from './forms-constraint.ts';
import { indexForms } from './forms-index.ts';
import { otherForms } from './forms-other.ts';
import { rightsForms } from './forms-rights.ts';
import { tableForms } from './forms-table.ts';
import { valueForms } from './forms-value.ts';

/** Every form of DDL that the linter knows. Any other statement is refused as unknown. */
export const forms: readonly Form[] = [
  ...columnForms,
  ...valueForms,
  ...constraintForms,
  ...indexForms,
  ...tableForms,
  ...rightsForms,
  ...otherForms,
];

/** Every form once per shape: with its example, and with each of its further ones. */
export const shapes: readonly Form[] = forms.flatMap((form) => [
  form,
  ...(form.more ?? []).map((example) => ({ ...form, example })),
]);

const byId: ReadonlyMap<string, Form> = new Map(forms.map((form) => [form.id, form]));

/** A form by its id; throws for an id that no table has. */
export function formOf(id: string): Form {
  const form = byId.get(id);
  if (form === undefined) throw new Error(`there is no form "${id}"`);
  return form;
}
