// Browsers start no worker for a page on the disk. There the site's search runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script src="${url}"></script>`;
      this.isLoaded = new Promise((resolve) => this.frame.addEventListener("load", resolve));
      document.body.append(this.frame);
    }

    async postMessage(data) {
      await this.isLoaded;
      const scope = this.frame.contentWindow;
      scope.postMessage = (answer) => this.dispatchEvent(new MessageEvent("message", { data: answer }));
      scope.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
