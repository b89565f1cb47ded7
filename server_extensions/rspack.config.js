// Types are stripped while bundling and checked by `npm run check`: so a build needs none of JupyterLab's packages,
// which the page brings along, and which are four times as large as everything else together.
module.exports = {
  resolve: { extensions: ['.ts', '.tsx', '.js'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        loader: 'builtin:swc-loader',
        options: {
          jsc: {
            parser: { syntax: 'typescript', tsx: true },
            transform: { react: { runtime: 'classic' } },
            target: 'es2022'
          }
        },
        type: 'javascript/auto'
      },
      { test: /\.svg$/, issuer: /\.tsx?$/, type: 'asset/source' }
    ]
  }
};
