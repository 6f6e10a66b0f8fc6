import { cruise, type IViolation } from 'dependency-cruiser';
import { dependencyRules } from './dependency-rules.ts';

export interface DependencyReport {
  /** Our own modules that were read, by their paths from the root. */
  readonly modules: readonly string[];
  /** How many imports were found in them. */
  readonly imports: number;
  readonly violations: readonly string[];
}

/** Reads what the files in `directories` below `root` import, and judges it by the rules. */
export async function dependencyReport(
  root: string,
  directories: readonly string[],
): Promise<DependencyReport> {
  const { output } = await cruise([...directories], {
    baseDir: root,
    validate: true,
    ruleSet: { forbidden: [...dependencyRules] },
    doNotFollow: { path: 'node_modules' },
    // TypeScript 7 has no parser for other programs: without this nothing would be read.
    parser: 'swc',
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  });
  if (typeof output === 'string') throw new Error(output);
  const own = output.modules.filter((module) => isOurs(module.source, directories));
  return {
    modules: own.map((module) => module.source),
    imports: own.reduce((sum, module) => sum + module.dependencies.length, 0),
    violations: output.summary.violations.map(sentenceOf),
  };
}

function isOurs(source: string, directories: readonly string[]): boolean {
  return directories.some((directory) => source.startsWith(`${directory}/`));
}

function sentenceOf({ rule, from, to, cycle }: IViolation): string {
  const path = cycle ? cycle.map((step) => step.name).join(' -> ') : to;
  const why = dependencyRules.find((candidate) => candidate.name === rule.name)?.comment;
  return `${from} -> ${path}: ${rule.name} (${why})`;
}
