/** The database and the migrations do not fit together. The message says what to do. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused';
}
