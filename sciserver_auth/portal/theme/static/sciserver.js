// Enter in a field means the form's main button. The browser would take the first button of the form, which in forms
// with a list (e-mail addresses) is the one that adds a line to the list.
document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || !(field instanceof HTMLInputElement) || !field.form) {
        return;
    }
    const first = field.form.querySelector("button[type=submit]");
    const main = field.form.querySelector("button.primary[type=submit]");
    if (main && first !== main && first.name.startsWith("fieldlist_")) {
        event.preventDefault();
        main.click();
    }
});
