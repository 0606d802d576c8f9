// Forms that ask a passkey or security key: the browser's answer goes with them.
"use strict";

(() => {
  const WORDS = {
    NotAllowedError: "The key was not used. Try again.",
    InvalidStateError: "This key is added already.",
    SecurityError: "The browser does not allow keys for this address.",
  };

  async function ask(form) {
    const { PublicKeyCredential } = window;
    if (!PublicKeyCredential?.parseCreationOptionsFromJSON) throw new Error("This browser cannot use passkeys.");
    const answer = await fetch(form.dataset.options, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrf_token.value },
    });
    if (!answer.ok || answer.redirected) throw new Error("That took too long. Load the page again.");
    const options = await answer.json();
    if (form.dataset.key === "create") {
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
      return navigator.credentials.create({ publicKey });
    }
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return navigator.credentials.get({ publicKey });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.key) return;
    event.preventDefault();
    const problem = form.querySelector("[data-key-problem]") ?? document.getElementById("key-problem");
    problem.hidden = true;
    try {
      form.elements.answer.value = JSON.stringify((await ask(form)).toJSON());
    } catch (error) {
      problem.textContent = WORDS[error.name] ?? error.message;
      problem.hidden = false;
      // The form can be sent again.
      delete form.dataset.sent;
      event.submitter?.removeAttribute("aria-busy");
      return;
    }
    form.submit();
  });
})();
