// Runs the example of docs/guide-jobs-service.md: node move.mjs EXAMPLE TENANT JOB STARTS_AT ENDS_AT
import pg from 'pg';

const [example, ...move] = process.argv.slice(2);
const { moveJob } = await import(example);
const pool = new pg.Pool({ application_name: 'the example in Node.js' });
try {
  await moveJob(pool, ...move);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await pool.end();
}
