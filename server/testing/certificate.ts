import { generateKeyPairSync, sign } from 'node:crypto';

/** A certificate of this machine's loopback address that signs itself, and its key, as PEM. */
export function loopbackCertificate(): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'));
  const commonName = sequence(Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from('test')));
  const name = sequence(der(0x31, commonName));
  const day = 86_400_000;
  const validity = sequence(moment(Date.now() - day), moment(Date.now() + day));
  // subjectAltName (2.5.29.17) with the one address; basicConstraints (2.5.29.19): a CA.
  const address = sequence(der(0x87, Buffer.from([127, 0, 0, 1])));
  const extensions = sequence(
    sequence(Buffer.from('0603551d11', 'hex'), der(0x04, address)),
    sequence(Buffer.from('0603551d13', 'hex'), der(0x04, Buffer.from('30030101ff', 'hex'))),
  );
  const signed = sequence(
    Buffer.from('a003020102020101', 'hex'), // version 3, serial number 1
    ecdsaWithSha256,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  const signature = sign('sha256', signed, privateKey);
  const whole = sequence(signed, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  const base64 = whole.toString('base64').replaceAll(/.{1,64}/g, '$&\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** A value of X.690: tag, length, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const long = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...(length < 0x80 ? [length] : long)]), content]);
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts);

/** UTCTime. */
function moment(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/\D/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${text}Z`));
}
