// A download that the server has prepared starts by itself. The value: {rev, file, name}.

export default function download(host) {
  const { props, watch } = host;
  let last = null;
  function start() {
    const value = props.value;
    if (!value || !value.file || value.rev === last) return;
    last = value.rev;
    const link = document.createElement('a');
    link.href = value.file.url;
    link.download = value.name;
    document.body.append(link);
    link.click();
    link.remove();
  }
  watch('value', start);
}
